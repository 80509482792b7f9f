"""A trained network as a versioned SavedModel, as TF Serving wants it."""

import json
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from scn_tf.errors import CheckpointError
from scn_tf.export.signatures import Service, signatures
from scn_tf.export.warmup import write_warmup
from scn_tf.messages import visible
from scn_tf.runs import checkpoints
from scn_tf.runs import info as infos
from scn_tf.runs.checkpoints import NOT_FINITE
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.info import ENTRY, ModelInfo
from scn_tf.storage import checksums, files
from scn_tf.systems import opening
from scn_tf.types import Locate, PathName, Tensor


def load_service(run: PathName) -> tuple[Service, ModelInfo]:
    """The :class:`Service` of a run folder or ``.keras`` file, and what the file says.

    Raises:
        CheckpointError: no model there.
    """
    network, info = checkpoints.load_model(opening.network_file(run))
    return Service(network, info), info


def export_saved_model(run: PathName, out: PathName) -> Path:
    """Write a versioned SavedModel for TF Serving.

    Args:
        run: run folder or ``.keras`` file.
        out: folder; the model goes to ``out/1``, or the next free number.

    Returns:
        path of the version's folder.

    Raises:
        CheckpointError: no model in the run.
        WriteError: the folder cannot be written.
    """
    out = Path(out)
    opening.network_file(run)
    check_folder(out)
    service, info = load_service(run)
    try:
        versions = _versions(out)
        # TF Serving watches this folder: a version must appear there whole.
        with files.temporary_folder(out, "export") as temporary:
            asset = temporary / ENTRY
            asset.write_text(json.dumps({**info.public().to_json(), **checksums.STATEMENT}, indent=1))
            service.metadata = tf.saved_model.Asset(str(asset))
            tf.saved_model.save(service, str(temporary / "model"), signatures=signatures(service, info))
            checksums.fill_folder(temporary / "model")
            write_warmup(temporary / "model")
            files.flush_folder(temporary / "model")
            target = out / str(max(versions, default=0) + 1)
            os.replace(temporary / "model", target)
        files.flush_listing(out)
    except files.WriteError:
        raise
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow says where and, at the end, why.
        reason = getattr(error, "strerror", None) or files.first_line(str(error).rsplit("; ", 1)[-1])
        raise files.WriteError(f"{out}: cannot be written ({reason}).") from None
    return target


def _check_name(path: Path, error: type[Exception]) -> None:
    """TensorFlow takes paths as UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise error(f"{visible(str(path))}: is no UTF-8 name, which TensorFlow needs for a SavedModel; rename the folder.") from None


def check_folder(out: Path) -> None:
    """Find out before long work whether a folder can take an export; makes it.

    Raises:
        WriteError: it holds a run, other things, or the exports of another program, has a name that is no UTF-8, or cannot be made.
    """
    _check_name(out, files.WriteError)
    try:
        if RunFolder(out).settings.is_file():
            raise files.WriteError(f"{out}: is a run folder; choose a folder of its own for the export.")
        _versions(out)
    except files.WriteError:
        raise
    except OSError as error:
        raise files.WriteError(f"{out}: cannot be written ({error.strerror or error}).") from None


def _versions(out: Path) -> list[int]:
    """Numbers of the versions in a folder for exports, which is made if it is not there.

    Raises:
        WriteError: other things are there, or exports that we did not write.
        OSError: it cannot be made or looked into.
    """
    out.mkdir(parents=True, exist_ok=True)
    inside = [path for path in out.iterdir() if not path.name.startswith(".")]
    numbered = [path for path in inside if path.name.isdecimal()]
    foreign = next((path for path in numbered if not _may_be_ours(path)), None)
    if foreign is not None:
        raise files.WriteError(f"{foreign}: was not written by scn_tf; choose another folder for the export than {out}.")
    if inside and not numbered:
        raise files.WriteError(f"{out}: holds other things ({inside[0].name}); choose a folder of its own for the export.")
    return [int(path.name) for path in numbered]


def _may_be_ours(version: Path) -> bool:
    return version.is_dir() and ((version / "assets" / ENTRY).is_file() or not any(version.iterdir()))


def newest_version(path: PathName) -> Path:
    """Folder of the highest version in a folder of exports; a version's own folder stays as it is.

    Raises:
        CheckpointError: no SavedModel there.
    """
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    versions = [found.parent for found in path.glob("*/saved_model.pb") if found.parent.name.isdecimal()]
    if not versions:
        if not path.exists():
            raise CheckpointError(f"{path}: no such file or folder; expected an exported SavedModel.")
        raise CheckpointError(
            f"{path}: is no exported SavedModel; write one of a run or model file with scn-tf export RUN FOLDER, and name that FOLDER."
        )
    return max(versions, key=lambda folder: int(folder.name))


def open_model(path: PathName) -> tuple[tf.Module, ModelInfo]:
    """Load a SavedModel of :func:`export_saved_model`, its folder or a version in it.

    Returns:
        (module with ``signatures``, what the export says). Keep the module: its functions do not keep its variables alive.

    Raises:
        CheckpointError: no SavedModel there, one of another program, a damaged one, or weights that are not finite.
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
    """Compare a version's files with their checksums; an export of an earlier version has none, and says nothing of any.

    Raises:
        CheckpointError: a file that differs or is missing, or a folder whose name is no UTF-8.
    """
    _check_name(folder, CheckpointError)
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


def localizer(path: PathName) -> tuple[Locate, ModelInfo]:
    """Open a SavedModel to find landmarks in images of the network's size.

    Returns:
        (function float32 (B, [D,] H, W, C) -> (landmarks (B, N, d), scores (B, N)), what the export says).

    Raises:
        CheckpointError: see :func:`open_model`.
    """
    module, info = open_model(path)

    def locate(images: Tensor) -> tuple[Tensor, Tensor]:
        result = module.signatures["serve_input"](image=images)
        return result["landmarks"], result["scores"]

    return locate, info
