"""Files of a run: the model for use, and the whole training state for resuming.

Each is a single file that replaces its predecessor in one step, so a kill at any moment leaves a loadable file. They hold only
arrays and JSON, so reading executes nothing.
"""

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from scn_tf.environment.backend import keras
from scn_tf.errors import CheckpointError
from scn_tf.models.parts.layers import CubicUpsampling  # noqa: F401  (registers the layers that a file names)
from scn_tf.runs import info as infos
from scn_tf.runs.info import ENTRY, ModelInfo
from scn_tf.storage import checksums, files
from scn_tf.types import PathName

# What keras, h5py, zipfile and json raise on damaged files, encrypted ones and documents nested without end among them.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, TypeError, NotImplementedError, RuntimeError, EOFError),
    *(SyntaxError, tokenize.TokenError),  # numpy, of an array's header
)


NOT_FINITE = "is damaged, or its training failed: weights are not finite, so it would find nothing"


def save_model(network: keras.Model, path: PathName, info: ModelInfo) -> None:
    """Write a ``.keras`` file with the network, its facts (JSON) and a checksum (:mod:`scn_tf.storage.checksums`)."""
    with files.replaced(path) as temporary:
        network.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(ENTRY, _text(info))
        checksums.fill_zip(temporary)


def _text(info: ModelInfo) -> str:
    return json.dumps({**info.to_json(), **checksums.STATEMENT}, indent=1)


def restate(path: PathName, info: ModelInfo) -> None:
    """Replace the facts in a ``.keras`` file of :func:`save_model`. Its network stays.

    Raises:
        WriteError: the file cannot be written. The old one is kept.
    """
    _copy(path, path, info, lambda name, content: content)


def halve(path: PathName, out: PathName, info: ModelInfo) -> None:
    """Copy a ``.keras`` file with its weights in float16, at half the size. :func:`load_model` reads them as float32.

    Args:
        path: file of :func:`save_model`.
        out: file to write.
        info: facts that replace those of the file.
    """
    _copy(path, out, info, lambda name, content: _halved(content) if name.endswith(".h5") else content)


def _copy(path: PathName, out: PathName, info: ModelInfo, change: Callable[[str, bytes], bytes]) -> None:
    """Copy a ``.keras`` file with other facts, and with what ``change`` makes of the name and content of each other part."""
    with files.replaced(out) as temporary:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(temporary, "w") as target:
            for part in source.infolist():
                content = _text(info) if part.filename == ENTRY else change(part.filename, source.read(part))
                target.writestr(part.filename, content, zipfile.ZIP_DEFLATED)
        checksums.fill_zip(temporary)


def _halved(content: bytes) -> bytes:
    """Content of an HDF5 file with its float32 arrays in float16."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as archive:
        names: list[str] = []

        def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype == "float32":
                names.append(name)

        archive.visititems(note)
        arrays = {name: archive[name][()].astype("float16") for name in names}
        for name, array in arrays.items():
            attributes = dict(archive[name].attrs)
            del archive[name]
            archive[name] = array
            archive[name].attrs.update(attributes)
        fresh = io.BytesIO()
        with h5py.File(fresh, "w") as copy:  # what was deleted keeps its place in a file
            for name in archive:
                archive.copy(name, copy)
            copy.attrs.update(archive.attrs)
    return fresh.getvalue()


def load_model(path: PathName) -> tuple[keras.Model, ModelInfo]:
    """Read a ``.keras`` file of :func:`save_model`.

    A network computes in float32 here, whatever its training precision. bfloat16 moves a peak by a hundredth of a network pixel,
    and measured errors must hold for every export.

    Returns:
        (functional ``keras.Model`` computing in float32, facts of the file).

    Raises:
        CheckpointError: the file is missing, damaged or of another program, or its weights are not finite.
    """
    info = read_info(path)
    try:
        # safe_mode refuses layers that carry code.
        network = _float32(keras.saving.load_model(path, compile=False, safe_mode=True))
    except DAMAGED as error:
        raise CheckpointError(f"{path}: cannot be loaded ({files.first_line(error)}).") from None
    taken, given = (*info.image_size, info.channels), (*info.image_size, len(info.maps))
    for what, shape, said in (("takes", network.input_shape, taken), ("answers with", network.output_shape, given)):
        if shape[1:] != said:
            raise CheckpointError(f"{path}: is damaged: its network {what} {shape[1:]}, its settings say {said}.")
    for variable in network.variables:
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            raise CheckpointError(f"{path}: {NOT_FINITE} ({variable.path}).")
    return network, info


def read_info(path: PathName) -> ModelInfo:
    """Facts in a file of :func:`save_model`.

    Raises:
        CheckpointError: the file is missing, damaged or of another program.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
        checksums.check(content, path, CheckpointError)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if ENTRY not in archive.namelist():
                raise CheckpointError(f"{path}: was not written by scn_tf ({ENTRY} is missing).")
            stated = json.loads(archive.read(ENTRY))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file.") from None
    except CheckpointError:
        raise
    except DAMAGED as error:
        raise CheckpointError(f"{path}: cannot be loaded ({files.first_line(error)}).") from None
    return infos.read(checksums.without_statement(stated, content, path, CheckpointError), path)


def _float32(network: keras.Model) -> keras.Model:
    """The same functional network with every layer computing in float32, including the nested networks of an ensemble."""

    def clone(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(network, clone_function=clone, recursive=True)
    copy.set_weights(network.get_weights())
    return copy


def save_state(variables: Iterable[keras.Variable], path: PathName, progress: Mapping[str, Any]) -> None:
    """Write all variables of a training in order, and its progress (JSON-like dict)."""
    arrays = {f"{index:04d}": keras.ops.convert_to_numpy(variable) for index, variable in enumerate(variables)}
    with files.replaced(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, progress=np.array(json.dumps(progress)), **arrays)


def read_progress(path: PathName) -> dict[str, Any] | None:
    """The progress in a file of :func:`save_state`; None if there is no file, or it is damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return json.loads(str(archive["progress"]))
    except DAMAGED:
        return None


def load_state(variables: Sequence[keras.Variable], path: PathName) -> dict[str, Any]:
    """Assign the variables from a file of :func:`save_state`, and return the progress.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network or optimizer.
    """
    try:
        # Opened here: numpy leaves a file that it cannot read open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = [archive[name] for name in sorted(archive.files) if name != "progress"]
            progress = json.loads(str(archive["progress"]))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; there is nothing to resume.") from None
    except DAMAGED as error:
        raise CheckpointError(f"{path}: cannot be loaded ({files.first_line(error)}).") from None
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise CheckpointError(f"{path}: belongs to another network or optimizer than the configuration describes.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return progress
