"""Evaluate a trained run on an annotated split. The measure depends on the system (:mod:`scn_tf.systems`)."""

from pathlib import Path
from typing import Any, Literal

from scn_tf import systems
from scn_tf.data.dataset import open_dataset, warn_of_training_images
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.training_images import trained_on
from scn_tf.scoring.scores import table
from scn_tf.storage import files
from scn_tf.systems import SYSTEMS, opening
from scn_tf.types import PathName

__all__ = ["check_out", "evaluate", "folder_of", "table"]


def evaluate(
    run_dir: PathName,
    split: str,
    *,
    root: PathName | None = None,
    out: PathName | None = None,
    missing: Literal["refuse", "skip"] | None = None,
) -> tuple[dict[str, Any], Path]:
    """Evaluate a run on a split and write all files of the evaluation.

    Args:
        run_dir: run folder, its model file, or a name in :mod:`scn_tf.runs.pretrained`.
        split: name of a split.
        root: data set folder; the run's own if None.
        missing: what to do about missing images of the split, ``"refuse"`` or ``"skip"``; the run's setting if None.
        out: folder to write; ``run_dir/evaluation/split`` if None, ``NAME-evaluation/split`` for a file or name.

    Returns:
        (summary dict, folder).

    Raises:
        CheckpointError, DatasetError, ImageError: a file cannot be used; the message names it.
    """
    run_dir = Path(run_dir)
    model = opening.existing_file(run_dir)
    out = folder_of(run_dir, split) if out is None else Path(out)
    check_out(out)
    info = opening.read_info(model)
    dataset = open_dataset(root or info.config.data.root)
    ids = dataset.split(split, missing=missing or info.config.data.missing)
    warn_of_training_images(dataset, split, ids, trained_on(info, dataset))
    return systems.of(info.config).evaluate(model, info, dataset, ids, split, out), out


def folder_of(run_dir: PathName, split: str) -> Path:
    """Folder of the evaluation of a run on a split, unless the caller names another; see :func:`evaluate`.

    Raises:
        CheckpointError: there is no model.
    """
    run_dir = Path(run_dir)
    # A file or a name has no folder of its own.
    inside = opening.existing_file(run_dir).parent == run_dir
    return RunFolder(run_dir).evaluation(split) if inside else Path(f"{run_dir.stem}-evaluation") / split


def check_out(out: Path) -> None:
    """Check before long work that the files of an evaluation can be written to a folder.

    Raises:
        WriteError: another program wrote a file with one of these names, or the folder is not writable.
    """
    files.check_folder(out, {name for system in SYSTEMS.values() for name in system.files}, witness="summary.json")
