"""Reading of exported SavedModels: version, checks and outputs."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from scn_tf.errors import CheckpointError
from scn_tf.export.answers import answer_of
from scn_tf.messages import visible
from scn_tf.runs import info as infos
from scn_tf.runs.checkpoints import NOT_FINITE
from scn_tf.runs.info import ENTRY, ModelInfo
from scn_tf.storage import checksums, files
from scn_tf.types import PathName, Respond, Tensor


def check_name(path: Path, error: type[Exception]) -> None:
    """Refuse a folder name that is not UTF-8, which TensorFlow needs."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise error(f"{visible(str(path))}: is no UTF-8 name, which TensorFlow needs for a SavedModel; rename the folder.") from None


def newest_version(path: PathName) -> Path:
    """Folder of the highest version in a folder of exports. The folder of a version is returned unchanged.

    Raises:
        CheckpointError: the folder holds no SavedModel.
    """
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    versions = [found.parent for found in path.glob("*/saved_model.pb") if found.parent.name.isdecimal()]
    if not versions:
        if not path.exists():
            raise CheckpointError(
                f"{path}: no such file or folder; write an exported SavedModel with scn-tf export RUN FOLDER, and name that FOLDER."
            )
        raise CheckpointError(f"{path}: is no exported SavedModel; write one with scn-tf export RUN FOLDER, and name that FOLDER.")
    return max(versions, key=lambda folder: int(folder.name))


def open_model(path: PathName) -> tuple[tf.Module, ModelInfo]:
    """Load a SavedModel of :func:`scn_tf.export.export_saved_model`, by its folder or a version in it.

    Returns:
        (module with ``signatures``, facts of the export). Keep the module: its functions do not keep its variables alive.

    Raises:
        CheckpointError: the folder holds no SavedModel, one of another program or a damaged one, or weights that are not finite.
    """
    folder = newest_version(path)
    check_whole(folder)
    try:
        stated = json.loads((folder / "assets" / ENTRY).read_text())
        module = tf.saved_model.load(str(folder))
        module.signatures["serve_input"]
    except Exception as error:  # damaged files raise types of several libraries, some of them private
        raise CheckpointError(f"{folder}: is damaged, or was not written by scn_tf's export ({files.first_line(error)}).") from None
    check_finite(module, folder)
    stated = {name: value for name, value in stated.items() if name != checksums.KEY} if isinstance(stated, dict) else {}
    return module, infos.read(stated, folder)


def check_whole(folder: Path) -> None:
    """Compare a version's files with their checksums. Exports of earlier versions neither have nor state checksums.

    Raises:
        CheckpointError: a file differs or is missing, or the folder's name is not UTF-8.
    """
    check_name(folder, CheckpointError)
    if checksums.check_folder(folder, CheckpointError):
        return
    try:
        stated = checksums.KEY in json.loads((folder / "assets" / ENTRY).read_bytes())
    except (OSError, ValueError, TypeError, RecursionError):
        return  # of another program, or damaged: who needs it says so
    if stated:
        raise CheckpointError(f"{folder}: is damaged: {checksums.LIST} is missing, which it states. {checksums.FIX}.")


def check_finite(module: tf.Module, folder: Path) -> None:
    """Raise CheckpointError if a loaded model has weights that are not finite."""
    variables = {id(variable): variable for function in module.signatures.values() for variable in function.variables}
    for variable in variables.values():
        if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
            raise CheckpointError(f"{folder}: {NOT_FINITE} ({variable.name}).")


def open_export(path: PathName) -> tuple[Respond, ModelInfo]:
    """See :class:`scn_tf.export.forms.ExportForm`.

    Raises:
        CheckpointError: see :func:`open_model`.
    """
    module, info = open_model(path)
    outputs = answer_of(info).outputs

    def respond(images: Tensor) -> dict[str, Tensor]:
        result = module.signatures["serve_input"](image=images)
        return {name: result[name] for name in outputs}

    return respond, info
