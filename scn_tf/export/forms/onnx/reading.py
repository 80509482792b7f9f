"""Reading of scn_tf's ONNX files: checks, facts and outputs."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from scn_tf.environment.extras import needs_extra
from scn_tf.errors import ConversionError
from scn_tf.export import onnx_weights
from scn_tf.export.answers import answer_of
from scn_tf.runs import info as infos
from scn_tf.runs.checkpoints import NOT_FINITE
from scn_tf.runs.info import ENTRY, ModelInfo
from scn_tf.storage import checksums, files
from scn_tf.types import Array, PathName, Respond, Tensor


def open_file(path: PathName, *, threads: int = 2) -> tuple[Respond, ModelInfo]:
    """See :class:`scn_tf.export.forms.ExportForm`. Several threads may call the function at once.

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

    outputs = answer_of(info).outputs

    def respond(images: Tensor) -> dict[str, Array]:
        return dict(zip(outputs, session.run([*outputs], {"image": np.asarray(images, np.float32)}), strict=True))

    return respond, info
