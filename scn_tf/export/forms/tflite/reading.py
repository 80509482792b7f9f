"""Reading of scn_tf's TFLite files: checks, facts and outputs."""

import json
import threading
from pathlib import Path

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from scn_tf.environment.extras import needs_extra
from scn_tf.environment.quiet import quiet_stderr
from scn_tf.errors import ConversionError
from scn_tf.export.answers import answer_of
from scn_tf.export.forms.tflite import SIGNATURE
from scn_tf.runs import info as infos
from scn_tf.runs.checkpoints import NOT_FINITE
from scn_tf.runs.info import ENTRY, ModelInfo
from scn_tf.storage import checksums, files
from scn_tf.types import Array, PathName, Respond, Tensor

FLOATS = {schema.TensorType.FLOAT16: "<f2", schema.TensorType.FLOAT32: "<f4", schema.TensorType.FLOAT64: "<f8"}


def read_info(path: PathName) -> ModelInfo:
    """Facts in a file of :func:`scn_tf.export.export_tflite`.

    Raises:
        ConversionError: the file is no TFLite model, one of another program, or damaged.
    """
    return _read(path)[1]


def _read(path: PathName) -> tuple[bytes, ModelInfo]:
    """(content, facts) of a file, after comparison of its checksum; see :func:`read_info`."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read ({error.strerror}).") from None
    checksums.check(content, path, ConversionError)
    stated = None
    try:
        model = schema.Model.GetRootAs(bytearray(content), 0)
        for entry in map(model.Metadata, range(model.MetadataLength())):
            if entry.Name() == ENTRY.encode():
                stated = json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    except Exception as error:  # flatbuffers reads whatever bytes it is given; a wrong file fails anywhere
        raise ConversionError(f"{path}: is no TFLite model ({error}).") from None
    if stated is None:
        raise ConversionError(f"{path}: was not written by scn_tf ({ENTRY} is missing).")
    return content, infos.read(checksums.without_statement(stated, content, path, ConversionError), path)


def _check_finite(content: bytes, path: PathName) -> None:
    """Raise ConversionError if weights, or scales of integers, are not finite."""
    try:
        model = schema.Model.GetRootAs(content, 0)
        for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
            for tensor in map(graph.Tensors, range(graph.TensorsLength())):
                data, scales = model.Buffers(tensor.Buffer()).DataAsNumpy(), tensor.Quantization()
                values = [] if scales is None or scales.ScaleIsNone() else [scales.ScaleAsNumpy()]
                if tensor.Type() in FLOATS and isinstance(data, np.ndarray):
                    values.append(data.view(FLOATS[tensor.Type()]))
                # The converter makes of an infinite weight the largest number.
                if not all((np.abs(value) < np.finfo(value.dtype).max).all() for value in values):
                    raise ConversionError(f"{path}: {NOT_FINITE} ({tensor.Name().decode()[:80]}).")
    except ConversionError:
        raise
    except Exception as error:  # as in _read
        raise ConversionError(f"{path}: is no TFLite model ({error}).") from None


def open_file(path: PathName, *, threads: int = 2) -> tuple[Respond, ModelInfo]:
    """See :class:`scn_tf.export.forms.ExportForm`. The function runs image by image.

    Several threads may call it. They wait for each other, since an interpreter has one set of tensors.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
        ConversionError: the file is no model of scn_tf, is damaged, or has weights that are not finite.
    """
    with needs_extra(str(path), "ai-edge-litert"):
        from ai_edge_litert.interpreter import Interpreter
    content, info = _read(path)
    _check_finite(content, path)
    try:
        with quiet_stderr():
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()  # here, where its "Created XNNPACK delegate" goes nowhere
            opened = interpreter, interpreter.get_signature_runner(SIGNATURE)
    except (ValueError, RuntimeError) as error:
        raise ConversionError(f"{path}: is no TFLite model of scn_tf ({files.first_line(error)}).") from None
    lock, outputs = threading.Lock(), answer_of(info).outputs

    def respond(images: Tensor) -> dict[str, Array]:
        _, run = opened  # the runner does not keep the interpreter alive
        results = []
        for image in np.asarray(images, np.float32):
            with lock:
                results.append(run(image=image[np.newaxis]))
        return {name: np.concatenate([result[name] for result in results]) for name in outputs}

    return respond, info
