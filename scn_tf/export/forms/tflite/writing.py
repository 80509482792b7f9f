"""Writing of one TFLite file: from an image of the network's size to landmarks, with the decoder inside. It uses only builtins."""

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tqdm import tqdm

from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.data.fingerprint import check_against_model
from scn_tf.environment.quiet import quiet_stderr
from scn_tf.errors import ConversionError
from scn_tf.export.choice import listed, rows
from scn_tf.export.forms.tflite import SIGNATURE, TFLITE
from scn_tf.export.signatures import load_service
from scn_tf.export.writing import write
from scn_tf.runs.info import ENTRY, ModelInfo
from scn_tf.storage import checksums, files
from scn_tf.types import Array, PathName, known

REPRESENTATIVE_IMAGES = 100
FLOAT_PARTS = ("/Tanh", "spatial_configuration", "heatmaps")  # of int8 models


def export_tflite(
    run: PathName,
    out: PathName,
    *,
    quantize: str = "none",
    heatmaps: bool = False,
    images: Array | None = None,
    root: PathName | None = None,
) -> Path:
    """Write a TFLite model with one signature ``serve_input``.

    The input is ``image`` float32 (1, [D,] H, W, C), already prepared. The outputs are those of
    :func:`scn_tf.export.answers.answer_of`, lengths in network pixels. The file's metadata ``scn_tf.json`` hold landmark names,
    configuration and validation error as JSON. The checksum of :mod:`scn_tf.storage.checksums` follows the model.

    Args:
        run: run folder or ``.keras`` file.
        out: file to write; it is replaced completely.
        quantize: ``none`` float32; ``float16`` and ``dynamic`` (int8) store the weights smaller;
            ``int8`` computes the convolutions in integers, calibrated on images of the run's training split.
        heatmaps: also give ``heatmaps`` (1, [D,] H, W, N).
        images: float32 (I, [D,] H, W, C) to calibrate ``int8`` with, instead of the training split.
        root: data set folder of the training split; the run's own if None.

    Returns:
        path of the file.

    Raises:
        CheckpointError, DatasetError: the run holds no model, or its data set is missing (``int8``).
        ConversionError: TFLite has no builtin for an operation.
    """
    return write(run, out, TFLITE, quantize=quantize, heatmaps=heatmaps, images=images, root=root)


def write_file(run: PathName, path: Path, *, quantize: str, heatmaps: bool, images: Array | None, root: PathName | None) -> Path:
    """See :class:`scn_tf.export.forms.ExportForm`."""
    service, info = load_service(run)
    if quantize == "int8" and images is None:
        images = training_images(info, root)

    serve = tf.function(service.with_heatmaps if heatmaps else service.respond)
    function = serve.get_concrete_function(tf.TensorSpec((1, *service.input_shape), tf.float32, name="image"))
    content = _convert(function, quantize, images)
    stated = {**info.public().model_copy(update={"quantize": quantize}).to_json(), **checksums.STATEMENT}
    content = _annotated(content, sorted(function.structured_outputs), stated)
    path.write_bytes(checksums.filled(content + checksums.PLACEHOLDER))
    return path


def _converter(function: tf.types.experimental.ConcreteFunction) -> "tf.lite.TFLiteConverter":
    # Not through a SavedModel nor with the model as second argument: on both roads the converter
    # leaves the variables of Keras 3 uninitialised, without a word.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def _convert(function: tf.types.experimental.ConcreteFunction, quantize: str, images: Array | None) -> bytes:
    """TFLite bytes of a concrete function."""
    try:
        with warnings.catch_warnings(), quiet_stderr():
            warnings.simplefilter("ignore")  # about input statistics, which calibration finds itself
            converter = _converter(function)
            if quantize == "none":
                return converter.convert()
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if quantize == "float16":
                converter.target_spec.supported_types = [tf.float16]
            if quantize == "int8":
                return _convert_int8(converter, _converter(function).convert(), known(images))
            return converter.convert()
    except Exception as error:  # the converter raises types of its own, some of them private
        operations = sorted(set(re.findall(r"'(tf\.\w+)' op is neither", str(error))))
        if not operations:
            raise ConversionError(f"tflite: the conversion failed ({type(error).__name__}: {files.first_line(error)}).") from None
        others = listed((form.title for form in rows() if form.name != TFLITE.name), "or")
        raise ConversionError(
            f"tflite: TFLite has no builtin for operations of this network ({', '.join(operations)}). Export it as {others}."
        ) from None


def _convert_int8(converter: "tf.lite.TFLiteConverter", float_content: bytes, images: Iterable[Array]) -> bytes:
    """Convert with integers up to the heads' convolutions. tanh, upsampling, product, decoder and estimates stay in float32.

    With 8 bits the product map would have 256 heights, and a coordinate 256 values. docs/research/measurements.md states the
    resulting error.

    Args:
        converter: converter with ``optimizations`` set.
        float_content: the same function converted without quantization, for the names of its operations.
        images: float32 (I, [D,] H, W, C) to calibrate with.
    """
    graph = schema.ModelT.InitFromPackedBuf(bytearray(float_content)).subgraphs[0]
    names = [graph.tensors[operator.outputs[0]].name.decode() for operator in graph.operators]
    # The layers' names start with that of the network, as that of the first operation; decoder and estimates come after it.
    network = names[0].partition("/")[0]
    in_float = [name for name in names if not name.startswith(f"{network}/") or any(part in name for part in FLOAT_PARTS)]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=in_float, fully_quantize=False)
    return tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
    ).get_nondebug_quantized_model()


def training_images(info: ModelInfo, root: PathName | None = None) -> Array:
    """Prepared images (I, [D,] H, W, C) of the training split of a model, at most 100."""
    settings = info.config
    dataset = open_dataset(root or settings.data.root)
    check_against_model(dataset, info)
    ids = dataset.split(settings.data.train_split, missing=settings.data.missing)[:REPRESENTATIVE_IMAGES]
    examples = pipeline.examples(dataset, ids, settings, measured=False)
    return np.stack([example["image"].numpy() for example in tqdm(examples, leave=False, disable=None)])


def _annotated(content: bytes, outputs: Sequence[str], stated: dict[str, Any]) -> bytes:
    """Add a signature to a model, and JSON in a metadata buffer, which runtimes return without interpretation.

    Args:
        content: bytes of the converter.
        outputs: names of the model's outputs, in their order.
        stated: JSON-like facts.
    """
    model = schema.ModelT.InitFromPackedBuf(bytearray(content))
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(stated).encode(), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = ENTRY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    signature, graph = schema.SignatureDefT(), model.subgraphs[0]
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = [_tensor_map("image", graph.inputs[0])]
    signature.outputs = [_tensor_map(name, index) for name, index in zip(outputs, graph.outputs, strict=True)]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor_map(name: str, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
