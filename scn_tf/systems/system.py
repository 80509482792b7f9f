"""The row of a kind of system."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scn_tf.config import Config
from scn_tf.data.dataset import Dataset
from scn_tf.runs.info import ModelInfo
from scn_tf.training.job import Examples, Job
from scn_tf.types import Locate


@dataclass(frozen=True, kw_only=True)
class System:
    """One kind of system: how it is prepared, trained, opened and evaluated, and its abilities.

    The row of ``model.name`` (:class:`scn_tf.models.model.Model`) names its system. No other code compares names.

    Attributes:
        name: value of ``system`` in rows of models.
        suffix: ending of its model file.
        prepare: (resolved config, data set, IDs of both splits) -> checked :class:`scn_tf.training.job.Examples`.
        sheet: job -> PNG of the first training images with their annotations.
        train: job -> best validation, dict with ``epoch`` (None without epochs), ``error`` and ``unit``.
        info: model file -> :class:`scn_tf.runs.info.ModelInfo`.
        open: model file -> (function images (B, [D,] H, W, C) -> :class:`scn_tf.types.Located`, info);
            None: it does not find landmarks.
        evaluate: (model file, its info, data set, IDs, name of the split, folder) -> summary. It writes the files of an evaluation.
        files: names of the files that ``evaluate`` writes.
        resumable: whether an interrupted training resumes from a state; otherwise it starts again.
        on_devices: whether it uses ``train.strategy`` and ``train.precision``.
        exportable: whether its network can be written in other forms.
        rank: place in lists. The first system reads files with unknown endings.
        what_else: for systems that cannot be exported, the commands that can use them, for messages.
    """

    name: str
    suffix: str
    prepare: Callable[[Config, Dataset, Sequence[Sequence[str]]], Examples]
    sheet: Callable[[Job], bytes]
    train: Callable[[Job], dict[str, Any]]
    info: Callable[[Path], ModelInfo]
    open: Callable[[Path], tuple[Locate, ModelInfo]] | None
    evaluate: Callable[[Path, ModelInfo, Dataset, Sequence[str], str, Path], dict[str, Any]]
    files: tuple[str, ...]
    resumable: bool = True
    on_devices: bool = True
    exportable: bool = True
    what_else: str = ""
    rank: int = 100
