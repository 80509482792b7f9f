"""Calls of a SavedModel as clients make them: with encoded images, pixels or volumes of any size. Parity compares them with Keras."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf import geometry
from scn_tf.data import pipeline
from scn_tf.export.forms.saved_model import SAVED_MODEL
from scn_tf.export.forms.saved_model.reading import open_model
from scn_tf.export.parity import Compared, Find, Fitted, Sent
from scn_tf.types import LENGTHS, Array, Located, Vector

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
ENCODED = {".png", ".bmp", *JPEG}  # what serving_default decodes


def callers(path: Path, sent: Sent) -> list[Compared]:
    """Way to call the signature for original images, if the export has one."""
    module, info = open_model(path)
    name, what, find = _way(module, info.dims, sent)
    if name not in module.signatures:
        return []
    colour = name == "serving_default" and any(map(_is_colour_jpeg, sent.files))
    return [Compared(f"{path.name}, {what}", path, SAVED_MODEL.more_error["colour JPEG"] if colour else None, find)]


def _way(module: tf.Module, dims: int, sent: Sent) -> tuple[str, str, Find]:
    """(signature, kind of input, ``find`` of :class:`Compared`) for the files of a data set."""
    if sent.dataset.description.coordinates == "pixel" and {file.suffix.lower() for file in sent.files} <= ENCODED:
        return "serving_default", "encoded images", _on_bytes(module, sent)
    if dims == 2:
        return "serve_image", "pixels", _on_pixels(module, "serve_image", "image", sent)
    return "serve_volume", "volumes", _on_pixels(module, "serve_volume", "volume", sent)


def _is_colour_jpeg(path: Path) -> bool:
    return path.suffix.lower() in JPEG and int(tf.io.extract_jpeg_shape(path.read_bytes())[2]) == 3


def _call(module: tf.Module, name: str, inputs: dict[str, Any], pixel: Vector) -> dict[str, Any]:
    """What a signature answers for one image. ``pixel`` (d,), mm, is sent if the signature has this input."""
    function: Callable[..., dict[str, tf.Tensor]] = module.signatures[name]
    if "spacing" in module.signatures[name].structured_input_signature[1]:
        inputs["spacing"] = np.asarray(pixel, np.float32)[np.newaxis]
    return {name: values.numpy()[0] for name, values in function(**{name: tf.constant(value) for name, value in inputs.items()}).items()}


def _in_input(outputs: dict[str, Any], input_from_image: Array, pixel: Vector) -> Located:
    """What a signature answered for an image, in network pixels. ``pixel`` (d,): size of the image's pixels, mm if the answer is in mm."""
    scale = np.diag(input_from_image)[:-1]
    own = np.asarray(pixel) if outputs.pop("error_unit", None) == b"mm" else np.ones_like(scale)
    length = geometry.length_of_input_pixel(scale, own)
    lengths = {name: outputs[name] / length for name in LENGTHS if name in outputs}
    return Located(**{**outputs, **lengths, "landmarks": geometry.apply(input_from_image, outputs["landmarks"])})


def _on_bytes(module: tf.Module, sent: Sent) -> Find:
    def find(example: Fitted) -> Located:
        pixel = sent.dataset.description.spacing_mm or (1.0, 1.0)
        outputs = _call(module, "serving_default", {"image_bytes": [example["file"].read_bytes()]}, pixel)
        return _in_input(outputs, np.linalg.inv(example["own_from_input"]), pixel)

    return find


def _on_pixels(module: tf.Module, name: str, array_name: str, sent: Sent) -> Find:
    """Build ``find``, which reads a file and sends its pixels, with the pixel size if the signature has this input."""

    def find(example: Fitted) -> Located:
        image = sent.dataset.read(example["id"])
        size = sent.dataset.pixel_size(image)
        pixel = np.ones(len(image.size)) if size is None else size
        outputs = _call(module, name, {array_name: image.array[np.newaxis]}, pixel)
        fit = pipeline.fit_image(image, size, sent.model, name=str(example["file"]))
        return _in_input(outputs, fit.input_from_array, pixel)

    return find
