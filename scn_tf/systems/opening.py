"""Run folders and model files: what a finished run answers with, network or forests."""

from pathlib import Path

from scn_tf.runs import checkpoints, pretrained
from scn_tf.scoring.localization import localizer
from scn_tf.systems import forest
from scn_tf.types import Locate, Metadata, PathName

MODEL_FILES = ("model.keras", forest.MODEL_FILE)


def model_file(path: PathName) -> Path | None:
    """The model file of a run folder, a model file itself, or that of a name in :mod:`scn_tf.runs.pretrained`.

    A folder that happens to have such a name (a data set, say) does not hide the model, unless it is a run or an export itself.

    Returns:
        path, which may not exist; None where a folder holds no model.
    """
    path = Path(path)
    if not path.is_dir():
        return path if path.exists() else pretrained.find(path) or path
    own = next((path / name for name in MODEL_FILES if (path / name).is_file()), None)
    if own or (path / "config.yaml").exists() or any(path.glob("saved_model.pb")) or any(path.glob("*/saved_model.pb")):
        return own
    return pretrained.find(path)


def existing_file(path: PathName) -> Path:
    """:func:`model_file`; a folder without one is an error.

    Raises:
        CheckpointError: nothing there.
    """
    file = model_file(path)
    if file is None:
        raise checkpoints.CheckpointError(f"{path}: no model there yet (expected {' or '.join(MODEL_FILES)}).")
    if not file.exists():
        raise checkpoints.CheckpointError(
            f"{path}: no such file; expected a run folder, its model file, or a bundled model: {', '.join(pretrained.names())}."
        )
    return file


def read_metadata(path: PathName) -> Metadata:
    """What a run folder or model file says of itself, dict.

    Raises:
        CheckpointError: missing, damaged, or written by another program.
    """
    file = existing_file(path)
    return forest.load_localizer(file)[1] if file.suffix == ".npz" else checkpoints.read_metadata(file)


def network_file(path: PathName) -> Path:
    """:func:`existing_file` of what must be a network that finds landmarks.

    Raises:
        CheckpointError: nothing there, forests, or a network for label maps.
    """
    file = existing_file(path)
    if file.suffix == ".npz":
        raise checkpoints.CheckpointError(f"{path}: holds random forests, which only predict and evaluate can use; expected a network.")
    if checkpoints.read_metadata(file)["config"]["model"]["name"] == "segmentation":
        raise checkpoints.CheckpointError(f"{path}: finds label maps, not landmarks; only evaluate can use it.")
    return file


def open_run(path: PathName) -> tuple[Locate, Metadata]:
    """Open a run folder, its model file, or a model that comes with the package.

    Returns:
        (function images (B, [D,] H, W, C) -> (landmarks (B, N, d), scores (B, N)) in network pixels, metadata dict).

    Raises:
        CheckpointError: missing, damaged, written by another program, or a network for label maps.
    """
    file = existing_file(path)
    if file.suffix == ".npz":
        return forest.load_localizer(file)
    network, metadata = checkpoints.load_model(network_file(path))
    return localizer(network, metadata["config"]["heatmap"]["decoder"]), metadata
