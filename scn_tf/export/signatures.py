"""Functions for signatures: from the caller's image to landmarks in its pixels, or to labels of the network's pixels.

They include preparation and decoder, with the functions that training and evaluation use.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from scn_tf import geometry
from scn_tf.data.images import MAX_MM, MIN_MM
from scn_tf.data.preprocess import GREY_WEIGHTS, network_input
from scn_tf.environment.backend import keras
from scn_tf.export import orientation
from scn_tf.export.answers import answer_of
from scn_tf.export.graph_headers import pixel_count
from scn_tf.figures.pictures import heatmap_parts
from scn_tf.runs import checkpoints
from scn_tf.runs.info import ModelInfo
from scn_tf.systems import opening
from scn_tf.types import LENGTHS, PathName, Shape

MAX_PIXELS = 64_000_000  # of an encoded image: 0.3 to 2.2 GB while it is decoded; larger ones are refused unread
PART_NAMES = {"local appearance": "local", "spatial configuration": "spatial", "heatmaps": "product"}
IMAGE_SIGNATURES = {"serve_image": tf.float32, "serve_image_uint8": tf.uint8, "serve_image_uint16": tf.uint16}


class Service(tf.Module):
    """A network with its preparation and decoding.

    Args:
        network: of :func:`scn_tf.runs.checkpoints.load_model`.
        info: facts of the run's model file.
    """

    def __init__(self, network: keras.Model, info: ModelInfo) -> None:
        super().__init__()
        self._network = network
        self.weights = [variable.value for variable in network.variables]
        self.answer = answer_of(info)
        self._size = info.image_size
        self._channels = info.channels
        self._spacing = info.config.model.spacing_mm
        self._pixel = info.spacing_mm
        self._error_unit = error_unit(info)
        self.needs_spacing = info.needs_spacing
        self._parts = keras.Model(network.input, heatmap_parts(network))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """([D,] H, W, C) of the network."""
        return (*self._size, self._channels)

    def respond(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Prepared images float32 (B, [D,] H, W, C) -> outputs of :func:`scn_tf.export.answers.answer_of`."""
        return self.answer.of_maps(self._network(image, training=False))

    def with_heatmaps(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Outputs of :meth:`respond`, and the heatmaps (B, [D,] H, W, N)."""
        heatmaps = self._network(image, training=False)
        return {"heatmaps": heatmaps, **self.answer.of_maps(heatmaps)}

    def serve_input(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Outputs of :meth:`respond`. An image with NaN or infinite values is an error."""
        return self.respond(self._own_sized(image))

    def serve_heatmaps(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Prepared images float32 (B, [D,] H, W, C) -> maps (B, [D,] H, W, N) by name."""
        return {PART_NAMES[title]: maps for title, maps in self._parts(self._own_sized(image), training=False).items()}

    def serve_bytes(self, image_bytes: tf.Tensor, spacing: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Encoded PNG, JPEG or BMP of any size, string (B,) -> landmarks (B, N, 2) pixels x y of each, scores (B, N), estimates.

        ``spacing`` float32 (B, 2), mm per pixel x y, is for models whose ``needs_spacing`` is set; also in :meth:`serve_image`.
        """
        if spacing is None:
            return self._prepared(lambda encoded: self._fitted(self._decoded(encoded)), image_bytes)
        spacing = _checked_spacing(spacing, 2, tf.shape(image_bytes)[0])
        return self._prepared(lambda pair: self._fitted(self._decoded(pair[0]), pair[1]), (image_bytes, spacing))

    def serve_image(self, image: tf.Tensor, spacing: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Images (B, H, W, C) of any number type, with sides of at least 2 -> outputs of :meth:`serve_bytes`."""
        image = self._with_sides(tf.cast(image, tf.float32), "image")
        if spacing is None:
            return self._prepared(self._fitted, image)
        spacing = _checked_spacing(spacing, 2, tf.shape(image)[0])
        return self._prepared(lambda pair: self._fitted(pair[0], pair[1]), (image, spacing))

    def serve_volume(self, volume: tf.Tensor, spacing: tf.Tensor) -> dict[str, tf.Tensor]:
        """Volumes float32 (B, D, H, W, C) in LPS order, mm per voxel (B, 3) x y z -> landmarks (B, N, 3) voxels x y z, scores, estimates.

        LPS order: x increases to the patient's left, y to the back, z to the head. :meth:`serve_volume_oriented` takes any order.
        """
        volume = self._with_sides(volume, "volume")
        spacing = _checked_spacing(spacing, 3, tf.shape(volume)[0])
        return self._prepared(lambda pair: self._fitted(pair[0], pair[1]), (volume, spacing))

    def serve_volume_oriented(self, volume: tf.Tensor, spacing: tf.Tensor, direction: tf.Tensor) -> dict[str, tf.Tensor]:
        """As :meth:`serve_volume`, for volumes with any order of axes. Landmarks are in their own voxels.

        ``direction`` float32 (B, 9): direction cosines of its axes in LPS, row by row with columns x y z, as SimpleITK's
        ``GetDirection()``.
        """
        volume = self._with_sides(volume, "volume")
        rows = tf.shape(volume)[0]
        spacing, direction = _checked_spacing(spacing, 3, rows), _rows(direction, 9, rows, "direction")
        axes = orientation.nearest_axes(orientation.checked(direction))
        spacing = tf.linalg.matvec(tf.abs(axes), spacing)
        result = self._prepared(lambda own: self._fitted(orientation.turned(own[0], own[2]), own[1]), (volume, spacing, axes))
        sizes = tf.cast(tf.shape(volume)[3:0:-1], tf.float32)
        return {**result, "landmarks": orientation.turned_back(result["landmarks"], axes, sizes)}

    def _own_sized(self, image: tf.Tensor) -> tf.Tensor:
        """Check that an image is finite and of the network's size."""
        return _finite(tf.ensure_shape(image, [None, *self.input_shape], name="image"))

    def _with_sides(self, images: tf.Tensor, name: str) -> tf.Tensor:
        """Check images (B, [D,] H, W, C): values must be finite and sides at least 2 pixels. A side of one pixel is another axis."""
        images = tf.ensure_shape(images, [None] * (len(self._size) + 1) + [self._channels], name=name)
        shape = tf.shape(images)
        large = tf.debugging.Assert(
            tf.reduce_all(shape[1:-1] >= 2), [f"{name}: expected sides of at least 2 pixels, channels last, received shape", shape]
        )
        with tf.control_dependencies([large]):
            return _finite(tf.identity(images))

    def _prepared(self, prepare: Callable[[Any], tuple[tf.Tensor, ...]], inputs: Any) -> dict[str, tf.Tensor]:
        """Prepare the images one by one, find landmarks in all, and convert them to the pixels of each image.

        Expected errors and radii become lengths in the unit of the pixel size, which ``error_unit`` states.
        """
        # Two at a time: ten, the default, of the largest images would take 8 GB and more.
        prepared = tf.map_fn(prepare, inputs, fn_output_signature=(tf.float32,) * 4, parallel_iterations=2)
        images, scales, translations, pixel_lengths = prepared
        result = self.respond(tf.ensure_shape(images, [None, *self.input_shape]))
        # The inverse of geometry.Fit.
        landmarks = (result["landmarks"] + 0.5 - translations[:, None]) / scales[:, None] - 0.5
        lengths = {name: result[name] * pixel_lengths[:, None] for name in LENGTHS if name in result}
        unit = {"error_unit": tf.fill(tf.shape(pixel_lengths), self._error_unit)} if lengths else {}
        return {**result, "landmarks": landmarks, **lengths, **unit}

    def _decoded(self, encoded: tf.Tensor) -> tf.Tensor:
        """Encoded image -> float32 (H, W, C)."""
        pixels = pixel_count(encoded)
        limit = tf.debugging.Assert(
            pixels <= MAX_PIXELS, [f"image_bytes: expected an image of at most {MAX_PIXELS} pixels, its header says", pixels]
        )
        with tf.control_dependencies([limit]):
            encoded = tf.identity(encoded)
        # As stored, since three channels of 16 bits where one of 8 says the same cost more than the network.
        image = tf.case(
            [
                # The default of JPEG's decoder is fast and off by a grey level or two; training reads it exactly.
                (tf.io.is_jpeg(encoded), lambda: _float(tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE"))),
                (_is_deep_png(encoded), lambda: _float(tf.io.decode_png(encoded, dtype=tf.uint16))),
            ],
            # PNG of 8 bits and BMP; pixel_count has refused other formats.
            default=lambda: _float(tf.io.decode_image(encoded, expand_animations=False)),
        )
        return _with_channels(tf.ensure_shape(image, [None, None, None]), self._channels)

    def _fitted(self, array: tf.Tensor, pixel: tf.Tensor | Sequence[float] | None = None) -> tuple[tf.Tensor, ...]:
        """([D,] H, W, C) -> network input, scale and translation of :class:`scn_tf.geometry.Fit`, length of a network pixel."""
        dims = len(self._size)
        sizes = tf.unstack(tf.cast(tf.shape(array)[:dims], tf.float32))[::-1]
        if pixel is None:
            pixel = self._pixel or (1.0,) * dims
        pixel = [pixel[axis] for axis in range(dims)]
        scale, translation = geometry.fit_axes(sizes, pixel, self._size[::-1], spacing=self._spacing, minimum=tf.minimum)
        scale, translation = tf.stack(scale), tf.stack(translation)
        length = geometry.length_of_input_pixel(scale, tf.stack(pixel))
        return network_input(array, scale, translation, self._size), scale, translation, length


def error_unit(info: ModelInfo) -> str:
    """Unit of expected errors and radii: mm where an export knows the pixel size of every image, else pixels of the image."""
    return "mm" if info.spacing_mm or info.needs_spacing or info.dims == 3 else "px"


def load_service(run: PathName) -> tuple[Service, ModelInfo]:
    """Load the :class:`Service` of a run folder or ``.keras`` file, and the facts of the file.

    Raises:
        CheckpointError: there is no network.
    """
    network, info = checkpoints.load_model(opening.network_file(run))
    return Service(network, info), info


def signatures(service: Service, info: ModelInfo) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Concrete functions by signature name; docs/serving.md has the table.

    Some models have only the signatures for prepared images. These are models of label maps, since only landmarks have positions in
    a caller's image. They are also 2D models that need mm per pixel (``model.spacing_mm``) from a file's header. A model that was
    trained on non-square pixels by their headers has an additional input ``spacing``.
    """

    def trace(function: Callable[..., dict[str, tf.Tensor]], **inputs: tuple[Shape, tf.DType]) -> tf.types.experimental.ConcreteFunction:
        specs = [tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in inputs.items()]
        return tf.function(function).get_concrete_function(*specs)

    network_image = ((None, *service.input_shape), tf.float32)
    channels = info.channels
    found = {
        "serve_input": trace(service.serve_input, image=network_image),
        "serve_heatmaps": trace(service.serve_heatmaps, image=network_image),
    }
    if not service.answer.has_points:
        return found
    if info.dims == 3:
        inputs = {"volume": ((None, None, None, None, channels), tf.float32), "spacing": ((None, 3), tf.float32)}
        found["serve_volume"] = trace(service.serve_volume, **inputs)
        found["serve_volume_oriented"] = trace(service.serve_volume_oriented, **inputs, direction=((None, 9), tf.float32))
    elif service._spacing is None or info.spacing_mm or service.needs_spacing:
        spacing = {"spacing": ((None, 2), tf.float32)} if service.needs_spacing else {}
        found["serving_default"] = trace(service.serve_bytes, image_bytes=((None,), tf.string), **spacing)
        for name, dtype in IMAGE_SIGNATURES.items():
            found[name] = trace(service.serve_image, image=((None, None, None, channels), dtype), **spacing)
    return found


def _finite(tensor: tf.Tensor) -> tf.Tensor:
    return tf.debugging.check_numerics(tensor, "input: expected finite numbers") if tensor.dtype.is_floating else tensor


def _checked_spacing(spacing: tf.Tensor, dims: int, count: tf.Tensor) -> tf.Tensor:
    """Check positive mm (B, d), one row per image."""
    finite = tf.debugging.check_numerics(_rows(spacing, dims, count, "spacing"), "spacing: expected finite numbers")
    unit = {2: "pixel", 3: "voxel"}[dims]
    positive = tf.debugging.Assert(
        tf.reduce_all((finite > MIN_MM) & (finite < MAX_MM)), [f"spacing: expected positive mm per {unit}, received", finite]
    )
    with tf.control_dependencies([positive]):
        return tf.identity(finite)


def _rows(values: tf.Tensor, length: int, count: tf.Tensor, name: str) -> tf.Tensor:
    """Check numbers (B, length), one row for each of ``count`` images. TensorFlow does not check the shapes of a signature."""
    values = tf.ensure_shape(values, [None, length], name=name)
    found = tf.shape(values)[0]
    equal = tf.debugging.Assert(found == count, [f"{name}: expected one row per image,", count, "received", found])
    with tf.control_dependencies([equal]):
        return tf.identity(values)


def _float(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(image, tf.float32)


def _is_deep_png(encoded: tf.Tensor) -> tf.Tensor:
    """Whether it is a PNG of 16 bits per channel."""
    head = encoded + b"\0" * 32
    return (tf.strings.substr(head, 0, 4) == b"\x89PNG") & (tf.strings.substr(head, 24, 1) == b"\x10")


def _with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Convert (H, W, 1 to 4) to (H, W, channels), as :func:`scn_tf.data.images.image.to_channels`.

    A second or fourth channel is opacity.
    """
    colour = tf.shape(image)[-1] >= 3
    if channels == 1:
        image = tf.cond(colour, lambda: tf.tensordot(image[..., :3], tf.constant(GREY_WEIGHTS), 1)[..., tf.newaxis], lambda: image[..., :1])
    else:
        image = tf.cond(colour, lambda: image[..., :3], lambda: tf.repeat(image[..., :1], channels, axis=-1))
    return tf.ensure_shape(image, [None, None, channels])
