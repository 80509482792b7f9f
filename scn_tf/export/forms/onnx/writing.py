"""Writing of one ONNX file: from images of the network's size to landmarks, with the decoder inside."""

import json
from pathlib import Path

import tensorflow as tf

from scn_tf.environment.extras import needs_extra
from scn_tf.errors import ConversionError
from scn_tf.export.choice import listed, rows
from scn_tf.export.forms.onnx import ONNX
from scn_tf.export.signatures import load_service
from scn_tf.export.writing import write
from scn_tf.runs.info import ENTRY
from scn_tf.storage import checksums, files
from scn_tf.types import PathName

OPSET = 18


def export_onnx(run: PathName, out: PathName, *, heatmaps: bool = False) -> Path:
    """Write an ONNX model.

    The input is ``image`` float32 (B, [D,] H, W, C), already prepared. The outputs are those of
    :func:`scn_tf.export.answers.answer_of`, lengths in network pixels. The metadata property ``scn_tf.json`` holds landmark names,
    configuration and validation error as JSON. The last property is the checksum of :mod:`scn_tf.storage.checksums`.

    Args:
        run: run folder or ``.keras`` file.
        out: file to write; it is replaced completely.
        heatmaps: also give ``heatmaps`` (B, [D,] H, W, N).

    Returns:
        path of the file.

    Raises:
        CheckpointError: the run holds no model.
        MissingExtra: tf2onnx is not installed.
        ConversionError: ONNX has no counterpart of an operation.
    """
    return write(run, out, ONNX, heatmaps=heatmaps)


def write_file(run: PathName, path: Path, *, heatmaps: bool) -> Path:
    """See :class:`scn_tf.export.forms.ExportForm`."""
    with needs_extra("onnx", "tf2onnx"):
        import tf2onnx
    service, info = load_service(run)
    spec = [tf.TensorSpec((None, *service.input_shape), tf.float32, name="image")]
    function = tf.function(service.with_heatmaps if heatmaps else service.respond, input_signature=spec)
    try:
        model, _ = tf2onnx.convert.from_function(function, input_signature=spec, opset=OPSET)
    except ValueError as error:
        others = listed((form.title for form in rows() if form.name != ONNX.name), "or")
        raise ConversionError(
            f"onnx: no ONNX counterpart for an operation of this network: {files.first_line(error)}. Export it as {others}."
        ) from None
    last = type(model)()  # behind all others: messages of protobuf are joined by joining their bytes
    for message, key, value in (
        (model, ENTRY, json.dumps({**info.public().to_json(), **checksums.STATEMENT})),
        (last, f"{ENTRY}.{checksums.KEY}", checksums.PLACEHOLDER.decode()),
    ):
        entry = message.metadata_props.add()
        entry.key, entry.value = key, value
    path.write_bytes(checksums.filled(model.SerializeToString() + last.SerializeToString()))
    return path
