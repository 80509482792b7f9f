"""Run folders: what a finished one answers with, network or forests."""

from pathlib import Path

from scn_tf import checkpoints, forests
from scn_tf.localization import localizer

MODEL_FILES = ("model.keras", forests.MODEL_FILE)


def model_file(path):
    """The model file of a run folder, or the file itself; None where a folder holds none."""
    path = Path(path)
    if not path.is_dir():
        return path
    return next((path / name for name in MODEL_FILES if (path / name).is_file()), None)


def open_run(path):
    """Open a run folder or its model file.

    Returns:
        (function images (B, [D,] H, W, C) -> (landmarks (B, N, d), scores (B, N)) in network pixels, metadata dict).

    Raises:
        CheckpointError: missing, damaged, or written by another program.
    """
    file = model_file(path)
    if file is None:
        raise checkpoints.CheckpointError(f"{path}: no model there yet (expected {' or '.join(MODEL_FILES)}).")
    if file.suffix == ".npz":
        return forests.load_localizer(file)
    network, metadata = checkpoints.load_model(file)
    return localizer(network, metadata["config"]["heatmap"]["decoder"]), metadata
