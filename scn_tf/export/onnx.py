"""A trained network as one ONNX file: network-size images in, landmarks out, decoder inside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf.environment.extras import needs_extra
from scn_tf.errors import ConversionError
from scn_tf.export import onnx_weights
from scn_tf.export.saved_model import load_service
from scn_tf.runs import info as infos
from scn_tf.runs.checkpoints import NOT_FINITE
from scn_tf.runs.info import ENTRY, ModelInfo
from scn_tf.storage import checksums, files
from scn_tf.systems import opening
from scn_tf.types import Array, Locate, PathName, Tensor

OPSET = 18


def export_onnx(run: PathName, out: PathName, *, heatmaps: bool = False) -> Path:
    """Write an ONNX model.

    Input ``image`` float32 (B, [D,] H, W, C) as the network takes it; outputs ``landmarks`` float32
    (B, N, d) network pixels and ``scores`` (B, N). Landmark names, configuration and validation error
    stand as JSON in the model's metadata property ``scn_tf.json``; the last property is the checksum of :mod:`scn_tf.storage.checksums`.

    Args:
        run: run folder or ``.keras`` file.
        out: file to write, replaced whole.
        heatmaps: also give ``heatmaps`` (B, [D,] H, W, N).

    Returns:
        path of the file.

    Raises:
        CheckpointError: no model in the run.
        MissingExtra: tf2onnx is not installed.
        ConversionError: it has no counterpart of an operation.
    """
    with needs_extra("to_onnx", "tf2onnx"):
        import tf2onnx
    opening.network_file(run)
    files.check_writable(out)
    service, info = load_service(run)
    spec = [tf.TensorSpec((None, *service.input_shape), tf.float32, name="image")]
    function = tf.function(service.with_heatmaps if heatmaps else service.locate, input_signature=spec)
    try:
        model, _ = tf2onnx.convert.from_function(function, input_signature=spec, opset=OPSET)
    except ValueError as error:
        raise ConversionError(
            f"to_onnx: no ONNX counterpart for an operation of this network: {files.first_line(error)}. Use to_saved_model."
        ) from None
    last = type(model)()  # behind all others: messages of protobuf are joined by joining their bytes
    for message, key, value in (
        (model, ENTRY, json.dumps({**info.public().to_json(), **checksums.STATEMENT})),
        (last, f"{ENTRY}.{checksums.KEY}", checksums.PLACEHOLDER.decode()),
    ):
        entry = message.metadata_props.add()
        entry.key, entry.value = key, value
    with files.replaced(out) as temporary:
        temporary.write_bytes(checksums.filled(model.SerializeToString() + last.SerializeToString()))
    return Path(out)


def localizer(path: PathName, *, threads: int = 2) -> tuple[Locate, ModelInfo]:
    """Open an ONNX file of :func:`export_onnx`.

    Returns:
        (function float32 (B, [D,] H, W, C) -> (landmarks (B, N, d), scores (B, N)), what the file says). Several threads may call
        the function at once.

    Raises:
        MissingExtra: onnxruntime is not installed.
        ConversionError: the file is no model of scn_tf, is damaged, or has weights that are not finite.
    """
    with needs_extra(str(path), "onnxruntime"):
        import onnxruntime
    if not Path(path).is_file():
        raise ConversionError(f"{path}: no such file.")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read ({error.strerror}).") from None
    checksums.check(content, path, ConversionError)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session: Any
    try:
        strange = onnx_weights.find_strange(content)  # first: the runtime would read files that a model names
        if not strange:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            stated = json.loads(session.get_modelmeta().custom_metadata_map[ENTRY])
    except KeyError:
        raise ConversionError(f"{path}: was not written by scn_tf ({ENTRY} is missing).") from None
    except Exception as error:  # onnxruntime raises types of its own, all without a common base
        raise ConversionError(f"{path}: is no ONNX model ({files.first_line(error)}).") from None
    if strange:
        raise ConversionError(f"{path}: {NOT_FINITE} ({strange}).")
    info = infos.read(checksums.without_statement(stated, content, path, ConversionError), path)

    def locate(images: Tensor) -> tuple[Array, Array]:
        landmarks, scores = session.run(["landmarks", "scores"], {"image": np.asarray(images, np.float32)})
        return landmarks, scores

    return locate, info
