"""tf.data pipelines: files to fitted examples, and examples to shuffled, endless batches.

An example is a dict. Landmarks are in network pixels; heatmaps exist only on the device:

* ``image`` float32 ([D,] H, W, C), see :func:`scn_tf.data.preprocess.network_input`
* ``landmarks`` float32 (N, d), 0 where there is no point
* ``visible`` float32 (N,): annotated and inside image and input; these have a target
* ``absent`` float32 (N,): known not to be in the input, by the annotations or by a point outside image or input; these have an empty
  target. A landmark that is neither visible nor absent is unknown, and counts in no loss
* ``annotated`` float32 (N,): errors count these, including landmarks outside the input
* ``unit_per_pixel`` float32 (d,): mm (or file pixels) per network pixel, for errors; NaN in examples that are only trained on
* ``file_per_pixel`` float32 (d,): file pixels per network pixel
* ``size`` float32 (d,): pixels of the image, axes as loaded
* ``spacing`` float32 (d,): mm of such a pixel, NaN if the set states none
* ``own_from_input`` float32 (d + 1, d + 1): network pixels to the set's own coordinates
* ``rater_landmarks``, ``rater_visible``, ``rater_absent``: the same by each of R raters, (R, N, ...), if a batch draws one of them
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from scn_tf import geometry
from scn_tf.config import MEAN, RANDOM, Config, ModelConfig
from scn_tf.data import cache
from scn_tf.data.dataset import Dataset
from scn_tf.data.disk_cache import DiskCache, Fitted, without_pixels
from scn_tf.data.images import Image
from scn_tf.data.outside import Outside
from scn_tf.data.preprocess import network_input
from scn_tf.errors import DatasetError, DataWarning, ImageError
from scn_tf.types import Array, Vector, known

TRUTH = ("landmarks", "visible", "absent")  # of an example, by each rater
PREFIX = "rater_"  # of their keys


class Opened(NamedTuple):
    """Examples of a split.

    Fields:

    * ``data``: finite ``tf.data.Dataset`` of examples, in order.
    * ``load``: dataset of numbers of examples -> dataset of these examples. None: ``data`` keeps them in memory.
    * ``files``: those of the prepared images, where these are kept on disk. An image that could not be kept has none.
    """

    data: tf.data.Dataset
    load: Callable[[tf.data.Dataset], tf.data.Dataset] | None
    files: Sequence[Path] = ()


def prepare(
    dataset: Dataset, image_id: str, model: ModelConfig, *, measured: bool = True, rater: str = MEAN, image: Image | None = None
) -> dict[str, Array]:
    """Read one image and fit it into the network's input, on the host.

    Args:
        dataset: the data set.
        image_id: the image's ID.
        model: resolved.
        measured, rater: see :func:`examples`.
        image: as loaded. None: read it.

    Returns:
        ``array``, ``scale``, ``translation``, and all values of the example except ``image``.
    """
    image = _read(dataset, image_id) if image is None else image
    pixel_size = dataset.pixel_size(image)
    fit = fit_image(image, pixel_size, model, name=str(dataset.files[image_id]))
    chosen = dataset if rater in (MEAN, RANDOM) else dataset.by_rater[rater]
    truth = _truth(chosen, image_id, image, fit, model)
    by_rater = [_truth(one, image_id, image, fit, model) for one in dataset.by_rater.values()] if rater == RANDOM else []
    mm = dataset.mm_per_pixel(image_id, image) if measured else np.full_like(fit.scale, np.nan)
    return dict(
        array=image.array,
        scale=fit.scale.astype("float32"),
        translation=fit.translation.astype("float32"),
        **truth,
        unit_per_pixel=((np.ones_like(fit.scale) if mm is None else mm) / fit.scale).astype("float32"),
        file_per_pixel=(1.0 / fit.scale).astype("float32"),
        size=image.size.astype("float32"),
        spacing=np.broadcast_to(np.nan if pixel_size is None else pixel_size, fit.scale.shape).astype("float32"),
        own_from_input=np.linalg.inv(fit.input_from_array @ dataset.array_from_own(image)).astype("float32"),
        **({PREFIX + name: np.stack([one[name] for one in by_rater]) for name in TRUTH} if by_rater else {}),
    )


def _read(dataset: Dataset, image_id: str) -> Image:
    image = dataset.read(image_id)
    if _is_constant(image):
        warnings.warn(f"{dataset.files[image_id]}: every pixel has the same value, nothing can be found.", DataWarning, stacklevel=3)
    return image


def _is_constant(image: Image) -> bool:
    return image.array.max() == image.array.min()


def _truth(dataset: Dataset, image_id: str, image: Image, fit: geometry.Fit, model: ModelConfig) -> dict[str, Array]:
    """The values of an example from ``landmarks`` to ``annotated``."""
    truth = dataset.truth_in_array(image_id, image)
    landmarks = geometry.apply(fit.input_from_array, truth)
    present = np.isfinite(landmarks).all(axis=1)
    landmarks = np.where(present[:, None], landmarks, 0.0)
    with np.errstate(invalid="ignore"):
        in_image = ((truth >= -0.5) & (truth <= image.size - 0.5)).all(axis=1)  # around it an input may be padded
    visible = present & in_image & np.asarray(geometry.inside(landmarks.astype("float32"), known(model.image_size)))
    return dict(
        landmarks=landmarks.astype("float32"),
        visible=visible.astype("float32"),
        absent=(dataset.absent[image_id] | (present & ~visible)).astype("float32"),
        annotated=present.astype("float32"),
    )


def fit_image(image: Image, pixel_size: Vector | None, model: ModelConfig, *, name: str) -> geometry.Fit:
    """Fit of an image to the input, by a model's settings.

    Args:
        image: as loaded.
        pixel_size: (d,) extent of an array pixel. None if unknown; pixels are then square.
        model: resolved.
        name: name of the image, for messages.

    Raises:
        ImageError: ``model.spacing_mm`` is set but the image has no spacing.
    """
    if pixel_size is None:
        if model.spacing_mm is not None:
            raise ImageError(f"{name}: model.spacing_mm needs images with a spacing; set spacing_mm in dataset.yaml.")
        pixel_size = np.ones(len(image.size))
    return geometry.fit_to_input(image.size, pixel_size, known(model.image_size)[::-1], spacing=model.spacing_mm)


def examples(
    dataset: Dataset,
    ids: Sequence[str],
    config: Config,
    *,
    measured: bool = True,
    rater: str = MEAN,
    observe: Callable[[dict[str, Array]], None] | None = None,
) -> tf.data.Dataset:
    """Fitted examples of a split, in order. See :func:`opened`.

    Returns:
        finite ``tf.data.Dataset`` of examples.
    """
    return opened(dataset, ids, config, measured=measured, rater=rater, observe=observe).data


def opened(
    dataset: Dataset,
    ids: Sequence[str],
    config: Config,
    *,
    measured: bool = True,
    rater: str = MEAN,
    observe: Callable[[dict[str, Array]], None] | None = None,
) -> Opened:
    """Fitted examples of a split. They are decoded in parallel, and kept where ``data.cache`` says.

    The whole split is read once, so errors are raised here, before training starts.

    Args:
        dataset: the data set.
        ids: IDs of the split's images.
        config: resolved.
        measured: whether errors will be measured, which needs mm. Training images may lack the landmarks that define mm.
        rater: of several raters, the one whose points are the truth, or their mean. ``random``: the mean, and the truth of each rater.
        observe: function that receives every example of the first pass, in order.

    Raises:
        ImageError, DatasetError: an image or annotation is invalid; the message names file and row.
        ConfigError: see :func:`scn_tf.data.cache.place`.
    """
    return opened_by_slot(dataset, [ids], config, measured=measured, rater=rater, observe=observe)[0]


def opened_by_slot(
    dataset: Dataset,
    ids: Sequence[Sequence[str]],
    config: Config,
    *,
    measured: bool,
    rater: str,
    observe: Callable[[dict[str, Array]], None] | None,
) -> list[Opened]:
    """As :func:`opened`, for several lists of IDs, each with examples of its own. One after the other is read."""
    model, channels, every = config.model, dataset.description.channels, [image_id for own in ids for image_id in own]
    place, size = cache.place(config, channels=channels, images=len(every)).kind, known(config.model.image_size)

    def prepared(number: int, image: Image | None = None) -> dict[str, Array]:
        return prepare(dataset, every[number], model, measured=measured, rater=rater, image=image)

    disk = _Disk(dataset, every, model, prepared) if place == "disk" else None
    shapes = _shapes(dataset, rater) | ({} if disk is None else {"fitted": [None] * (len(size) + 1)})
    reader = _Reader(prepared if disk is None else disk.read, shapes)

    def example_of(index: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.numpy_function(reader.read, [index], [tf.float32] * len(shapes))
        example = {name: tf.ensure_shape(value, shape) for (name, shape), value in zip(shapes.items(), values, strict=True)}
        array, scale, translation = (example.pop(name) for name in ("array", "scale", "translation"))
        if disk is None:
            return {"image": network_input(array, scale, translation, size), **example}
        fitted, shape = example.pop("fitted"), (*size, channels)

        def fit() -> tf.Tensor:
            image = network_input(array, scale, translation, size)
            return tf.ensure_shape(tf.numpy_function(disk.keep, [index, image], tf.float32), shape)

        is_known = tf.reduce_all(tf.equal(tf.shape(fitted), shape))
        return {"image": tf.cond(is_known, lambda: tf.ensure_shape(fitted, shape), fit), **example}

    def slot(first: int, count: int) -> Opened:
        def load(numbers: tf.data.Dataset) -> tf.data.Dataset:
            return numbers.map(lambda number: example_of(first + number), num_parallel_calls=config.data.workers, deterministic=True)

        data = load(tf.data.Dataset.range(count)).apply(tf.data.experimental.assert_cardinality(count))
        files = () if disk is None else [disk.cache.path(number) for number in range(first, first + count)]
        return Opened(without_autotune(data.cache() if place == "memory" else data), None if place == "memory" else load, files)

    firsts = np.cumsum([0, *map(len, ids)]).tolist()
    found = [slot(first, len(own)) for first, own in zip(firsts, ids, strict=False)]
    outside = Outside(dataset, model)
    data = joined([one.data for one in found])
    progress = tqdm(data, total=len(every), desc="Reading images", unit="image", leave=False, disable=None)
    for image_id, example in zip(every, progress, strict=True):
        if not reader.failures:
            values = {name: value.numpy() for name, value in example.items()}
            outside.add(image_id, values)
            if observe is not None:
                observe(values)
    reader.finish_check()
    outside.warn()
    return found


def joined(several: Sequence[tf.data.Dataset]) -> tf.data.Dataset:
    """All examples of several datasets, one after the other."""
    return functools.reduce(tf.data.Dataset.concatenate, several)


class _Disk:
    """Reads examples whose fitted images may be on disk, and keeps those that were fitted.

    Args:
        dataset, ids, model: see :func:`opened`.
        prepared: (number, image) -> result of :func:`prepare`.
    """

    def __init__(
        self, dataset: Dataset, ids: Sequence[str], model: ModelConfig, prepared: Callable[[int, Image], dict[str, Array]]
    ) -> None:
        self.dataset, self.ids, self.prepared, self.cache = dataset, ids, prepared, DiskCache(dataset, ids, model)
        self.headers: dict[int, Image] = {}  # of images that are being fitted
        self.nothing = np.empty((*[0] * dataset.description.dims, dataset.description.channels), "float32")

    def read(self, number: int) -> dict[str, Array]:
        """Result of :func:`prepare` with ``fitted``. Either this is empty, or ``array``."""
        image_id, found = self.ids[number], self.cache.read(number)
        if found is not None:
            self.dataset.spacings[image_id] = found.header.spacing
            return self.prepared(number, found.header) | {"array": self.nothing, "fitted": found.image}
        image = _read(self.dataset, image_id)
        values = self.prepared(number, image)
        if not _is_constant(image):  # such an image is read, and warned of, again
            self.headers[number] = without_pixels(image)
        return values | {"fitted": self.nothing}

    def keep(self, number: np.integer, fitted: Array) -> Array:
        """Keep a fitted image, and return it."""
        header = self.headers.pop(int(number), None)
        if header is not None:
            self.cache.write(int(number), Fitted(fitted, header))
        return fitted


def _shapes(dataset: Dataset, rater: str) -> dict[str, list[int | None]]:
    """Shapes of the results of :func:`prepare`."""
    dims, count = dataset.description.dims, len(dataset.description.names)
    shapes: dict[str, list[int | None]] = dict(
        array=[*[None] * dims, dataset.description.channels],
        scale=[dims],
        translation=[dims],
        landmarks=[count, dims],
        visible=[count],
        absent=[count],
        annotated=[count],
        unit_per_pixel=[dims],
        file_per_pixel=[dims],
        size=[dims],
        spacing=[dims],
        own_from_input=[dims + 1, dims + 1],
    )
    by_rater = {PREFIX + name: [len(dataset.raters), *shapes[name]] for name in TRUTH}
    return shapes | by_rater if rater == RANDOM else shapes


class _Reader:
    """Reads examples for ``tf.numpy_function``. Errors of the first pass are collected, and raised when it ends.

    Inside TensorFlow, an error would become a traceback in a string. Other threads would continue to read while Python ends, which
    aborts the process.
    """

    def __init__(self, read_example: Callable[[int], dict[str, Array]], shapes: dict[str, list[int | None]]) -> None:
        self.read_example, self.checking = read_example, True
        self.failures: list[ImageError | DatasetError] = []
        self.blank = [np.ones([length or 1 for length in shape], "float32") for shape in shapes.values()]

    def read(self, index: np.integer) -> Sequence[Array]:
        """Values of an example; blank ones after an error in the first pass."""
        if self.checking and self.failures:
            return self.blank
        try:
            return tuple(self.read_example(int(index)).values())
        except (ImageError, DatasetError) as error:
            if not self.checking:
                raise
            self.failures.append(error)
            return self.blank

    def finish_check(self) -> None:
        """End the first pass, and raise its first error."""
        if self.failures:
            raise self.failures[0]
        self.checking = False


def without_autotune(data: tf.data.Dataset) -> tf.data.Dataset:
    """Options that turn off autotuning. There is nothing to tune, and its thread can delay the end of a program by up to a minute."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)
