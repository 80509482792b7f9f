"""Run folders and model files: which there is, what it says of itself, and what it answers with."""

from pathlib import Path

from scn_tf import systems
from scn_tf.errors import CheckpointError
from scn_tf.runs import pretrained
from scn_tf.runs.folder import MODELS, RunFolder
from scn_tf.runs.info import ModelInfo
from scn_tf.systems import SYSTEMS
from scn_tf.types import Locate, PathName


def suffixes() -> list[str]:
    """Endings of model files."""
    return list(dict.fromkeys(system.suffix for system in SYSTEMS.values()))


def model_file(path: PathName) -> Path | None:
    """The model file of a run folder, a model file itself, or that of a name in :mod:`scn_tf.runs.pretrained`.

    A folder that happens to have such a name (a data set, say) does not hide the model, unless it is a run or an export itself.

    Returns:
        path, which may not exist; None where a folder holds no model.
    """
    path = Path(path)
    if not path.is_dir():
        return path if path.exists() else pretrained.find(path) or path
    run = RunFolder(path)
    own = run.model_file()
    if own or run.settings.exists() or any(path.glob("saved_model.pb")) or any(path.glob("*/saved_model.pb")):
        return own
    return pretrained.find(path)


def existing_file(path: PathName) -> Path:
    """:func:`model_file`; a folder without one is an error.

    Raises:
        CheckpointError: nothing there.
    """
    file = model_file(path)
    if file is None:
        raise CheckpointError(f"{path}: no model there yet (expected {' or '.join(MODELS)}).")
    if not file.exists():
        raise CheckpointError(
            f"{path}: no such file; expected a run folder, its model file, or a bundled model: {', '.join(pretrained.names())}."
        )
    return file


def read_info(path: PathName) -> ModelInfo:
    """What a run folder or model file says of itself.

    Raises:
        CheckpointError: missing, damaged, or written by another program.
    """
    file = existing_file(path)
    reading = next((system for system in SYSTEMS.values() if system.suffix == file.suffix), next(iter(SYSTEMS.values())))
    return reading.info(file)


def network_file(path: PathName) -> Path:
    """:func:`existing_file` of what must be a network.

    Raises:
        CheckpointError: nothing there, or a system that cannot be exported.
    """
    file = existing_file(path)
    system = systems.of(read_info(file).config)
    if not system.exportable:
        raise CheckpointError(f"{path}: {system.what_else}; expected a network.")
    return file


def landmark_network_file(path: PathName) -> Path:
    """:func:`network_file` of what must find landmarks.

    Raises:
        CheckpointError: nothing there, or another system.
    """
    file = network_file(path)
    system = systems.of(read_info(file).config)
    if system.open is None:
        raise CheckpointError(f"{path}: {system.what_else}; only evaluate and export can use it.")
    return file


def open_run(path: PathName) -> tuple[Locate, ModelInfo]:
    """Open a run folder, its model file, or a bundled model.

    Returns:
        (function images (B, [D,] H, W, C) -> (landmarks (B, N, d), scores (B, N)) in network pixels, what the file says).

    Raises:
        CheckpointError: missing, damaged, written by another program, or a system that does not find landmarks.
    """
    file = existing_file(path)
    system = systems.of(read_info(file).config)
    if system.open is None:
        raise CheckpointError(f"{path}: {system.what_else}; only evaluate and export can use it.")
    return system.open(file)
