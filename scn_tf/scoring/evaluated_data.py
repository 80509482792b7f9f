"""Which data an evaluation is of. Its summary states it, so that a comparison can tell evaluations of different data apart."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from scn_tf.data import fingerprint
from scn_tf.data.dataset import Dataset
from scn_tf.messages import visible
from scn_tf.runs.info import ModelInfo
from scn_tf.storage.documents import DocumentError, read_text

KEY = "data"  # in the summary


@dataclass(frozen=True)
class EvaluatedData:
    """The data of an evaluation, as ``summary.json`` states them.

    Attributes:
        name: of the data set.
        root: its folder.
        run_root: folder of the run's own data set, as its settings name it; None if they name none.
        split: name of the split.
        digest: of landmarks and image files, see :func:`scn_tf.data.fingerprint.of_images`.
        units: what coordinates and errors are in.
    """

    name: str
    root: str
    run_root: str | None
    split: str
    digest: str
    units: dict[str, Any]

    def __str__(self) -> str:
        return visible(f"{self.name} ({self.root})")

    def is_same(self, other: "EvaluatedData") -> bool:
        """Whether images, annotations and units are the same, wherever they lie."""
        return (self.digest, self.units) == (other.digest, other.units)

    def is_of(self, info: ModelInfo) -> bool:
        """Whether they are a model's own data: those in the folder that its settings name, or a copy, as its fingerprint tells."""
        if self.root == self.run_root:
            return True
        data = info.config.data
        known = {data.train_split: "training", data.val_split: "validation"}.get(self.split)
        return info.data is not None and known is not None and info.data[known].get("digest") == self.digest


def stated(dataset: Dataset, ids: Sequence[str], split: str, info: ModelInfo) -> dict[str, Any]:
    """The part ``data`` of ``summary.json``.

    Args:
        dataset: the data set.
        ids: of the split's images.
        split: its name.
        info: of the model.

    Raises:
        DatasetError: an image file cannot be read.
    """
    own = info.config.data.root
    found = EvaluatedData(
        name=dataset.description.name,
        root=os.path.realpath(dataset.root),
        run_root=None if own is None else os.path.realpath(own),
        split=split,
        **fingerprint.of_images(dataset, ids),
    )
    return {KEY: asdict(found)}


def read(folder: Path) -> EvaluatedData | None:
    """Data of the evaluation in a folder; None if it does not state them, as those of earlier versions."""
    try:
        values = json.loads(read_text(folder / "summary.json"))[KEY]
        found = EvaluatedData(**{one.name: values[one.name] for one in fields(EvaluatedData)})
    except (DocumentError, ValueError, RecursionError, LookupError, TypeError):
        return None
    texts = (found.name, found.root, found.split, found.digest, found.run_root or "")
    return found if all(isinstance(text, str) for text in texts) else None
