"""An exported SavedModel, opened for a server: its version, its signatures, and one call that runs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

from scn_tf.errors import CheckpointError
from scn_tf.export.forms.saved_model.reading import check_finite, check_whole, newest_version
from scn_tf.types import Array, PathName

Arrays: TypeAlias = dict[str, Array]  # (B, ...) by the name of an input or output

# Lines of TensorFlow's messages that speak of the graph, not of what was wrong.
GRAPH_LINES = ("Graph execution error", "Detected at node", "<stack traces", "[[{{node", "File ")
MAX_MESSAGE = 300


class InputError(ValueError):
    """The caller's input is invalid. The message is for the caller."""


class Exhausted(RuntimeError):
    """Memory does not suffice for an input."""


class Signature(NamedTuple):
    """One signature of the model: ``inputs`` and ``outputs`` are ``tf.TensorSpec`` by name, with a leading batch axis."""

    name: str
    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, tf.TensorSpec]
    function: Callable[..., dict[str, tf.Tensor]]


class Servable(NamedTuple):
    """A model ready to run.

    ``version``: text of a whole number. ``signatures``: :class:`Signature` by name. ``signature_def``: the signatures as in TF
    Serving's metadata, JSON-like. ``module``: keeps the weights alive.
    """

    folder: Path
    version: str
    signatures: dict[str, Signature]
    signature_def: dict[str, Any]
    module: tf.Module


def load(out: PathName) -> Servable:
    """Open an export.

    Args:
        out: folder of exported SavedModels, whose highest version is taken, or the folder of one version.

    Returns:
        :class:`Servable`.

    Raises:
        CheckpointError: the folder holds no exported model, or a damaged one, or weights that are not finite.
    """
    folder = newest_version(out)
    check_whole(folder)
    path = folder / "saved_model.pb"
    try:
        stored = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        module = tf.saved_model.load(str(folder))
    except Exception as error:  # damaged files raise types of several libraries, some of them private
        raise CheckpointError(f"{folder}: cannot be loaded ({str(error).splitlines()[0][:MAX_MESSAGE]}).") from None
    check_finite(module, folder)
    signatures = {
        name: Signature(name, function.structured_input_signature[1], function.structured_outputs, function)
        for name, function in module.signatures.items()
    }
    described = {
        name: json_format.MessageToDict(definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        for name, definition in stored.meta_graphs[0].signature_def.items()
    }
    version = str(int(folder.name)) if folder.name.isdecimal() else "1"
    return Servable(folder, version, signatures, described, module)


def run(signature: Signature, inputs: Arrays) -> Arrays:
    """Run one signature.

    Args:
        signature: :class:`Signature`.
        inputs: array (B, ...) by input name.

    Returns:
        array (B, ...) by output name.

    Raises:
        InputError: the graph refused an input.
        Exhausted: memory does not suffice.
    """
    tensors = {name: tf.constant(inputs[name], spec.dtype) for name, spec in signature.inputs.items()}
    try:
        return {name: tensor.numpy() for name, tensor in signature.function(**tensors).items()}
    except tf.errors.InvalidArgumentError as error:
        raise InputError(plain_message(error.message)) from None
    except UnicodeDecodeError:  # TensorFlow's message of a damaged file quotes the file
        raise InputError("the model refused this input: a file is damaged") from None
    except tf.errors.ResourceExhaustedError as error:
        raise Exhausted(plain_message(error.message)) from None


def warm_up(model: Servable) -> None:
    """Run the signatures that users call most. TensorFlow plans a graph at its first run, which takes seconds."""
    for name in {"serving_default", "serve_volume"} & set(model.signatures):
        signature = model.signatures[name]
        png = tf.io.encode_png(np.zeros((16, 16, 1), "uint8")).numpy()
        run(
            signature,
            {
                name: np.array([png], dtype=object) if spec.dtype == tf.string else np.ones([1] + [side or 16 for side in spec.shape[1:]])
                for name, spec in signature.inputs.items()
            },
        )


def plain_message(message: str) -> str:
    """TensorFlow's message about the input, without nodes, stacks and the name of the graph."""
    lines = [line.strip() for line in message.splitlines()]
    text = " ".join(line for line in lines if line and not line.startswith(GRAPH_LINES)).split(" [Op:")[0]
    if text.startswith("assertion failed: ["):
        text = text.removeprefix("assertion failed: [").replace("] [", " ", 1).removesuffix("]")
    return text[:MAX_MESSAGE] or "the model refused this input"
