"""Run folders and model files: find them, read their facts and open them."""

from pathlib import Path

from scn_tf import systems
from scn_tf.data import images
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
    """Model file of a run folder, of a path to such a file, or of a name in :mod:`scn_tf.runs.pretrained`.

    A folder of such a name, for example a data set, does not hide the bundled model, unless it is a run or an export.

    Returns:
        path, which may not exist; None if a folder holds no model.
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
    """Model file as in :func:`model_file`, which must exist.

    Raises:
        CheckpointError: there is no model.
    """
    file = model_file(path)
    if file is None:
        raise CheckpointError(f"{path}: no model there yet (expected {' or '.join(MODELS)}). Train one with scn-tf train.")
    if not file.exists():
        raise CheckpointError(
            f"{path}: no such file; expected a run folder, its model file, or a bundled model: {', '.join(pretrained.names())}."
        )
    if images.is_image(file):
        raise CheckpointError(f"{path}: is an image, no model; expected a run folder, its model file, or the name of a bundled model.")
    return file


def read_info(path: PathName) -> ModelInfo:
    """Facts of a run folder or model file.

    Raises:
        CheckpointError: missing, damaged, or written by another program.
    """
    file = existing_file(path)
    reading = next((system for system in SYSTEMS.values() if system.suffix == file.suffix), next(iter(SYSTEMS.values())))
    return reading.info(file)


def network_file(path: PathName) -> Path:
    """Model file of a network; see :func:`existing_file`.

    Raises:
        CheckpointError: there is no model, or its system cannot be exported.
    """
    file = existing_file(path)
    system = systems.of(read_info(file).config)
    if not system.exportable:
        raise CheckpointError(f"{path}: {system.what_else}; expected a network.")
    return file


def landmark_network_file(path: PathName) -> Path:
    """Model file of a network for landmarks; see :func:`network_file`.

    Raises:
        CheckpointError: there is no model, or it is of another system.
    """
    file = network_file(path)
    system = systems.of(read_info(file).config)
    if system.open is None:
        raise CheckpointError(f"{path}: {system.what_else}; only evaluate and export can use it.")
    return file


def open_run(path: PathName) -> tuple[Locate, ModelInfo]:
    """Open a run folder, its model file, or a bundled model.

    Returns:
        (function images (B, [D,] H, W, C) -> :class:`scn_tf.types.Located`, facts of the file).

    Raises:
        CheckpointError: the file is missing, damaged or of another program, or its system does not find landmarks.
    """
    file = existing_file(path)
    system = systems.of(read_info(file).config)
    if system.open is None:
        raise CheckpointError(f"{path}: {system.what_else}; only evaluate and export can use it.")
    return system.open(file)
