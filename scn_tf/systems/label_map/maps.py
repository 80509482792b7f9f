"""Label maps: from files to arrays that fit the network's input, and from the network's maps to labels."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from scn_tf.config import ModelConfig
from scn_tf.data import images, pipeline
from scn_tf.data.dataset import Dataset
from scn_tf.environment.backend import keras
from scn_tf.errors import DatasetError
from scn_tf.geometry import Fit
from scn_tf.types import Array, Sizes, known


def read_examples(dataset: Dataset, ids: Sequence[str], model: ModelConfig) -> tuple[Array, Array]:
    """Fitted images and label maps of a split.

    Args:
        dataset: :class:`scn_tf.data.dataset.Dataset`.
        ids: list of IDs.
        model: resolved :class:`scn_tf.config.ModelConfig`.

    Returns:
        images float32 (I, [D,] H, W, C) and label maps uint8 (I, [D,] H, W), 0 outside the image.

    Raises:
        DatasetError: a label map is missing, does not fit its image or holds an unknown label.
    """
    description = dataset.description
    if not description.labels:
        raise DatasetError(
            f"{dataset.root / 'dataset.yaml'}: segmentation needs the key labels, the names of the labels, background first."
        )
    found = {images.stem(path): path for path in (dataset.root / "labels").glob("*") if images.is_image(path)}
    arrays, maps, shape = [], [], known(model.image_size)
    for image_id in ids:
        if image_id not in found:
            raise DatasetError(f"{dataset.root / 'labels' / image_id}.*: missing label map.")
        image = dataset.read(image_id)
        labels = images.read_image(found[image_id], dims=description.dims, channels=1)
        if labels.array.shape[:-1] != image.array.shape[:-1]:
            raise DatasetError(f"{found[image_id]}: {labels.size.tolist()} pixels, but its image has {image.size.tolist()}.")
        frame, own = labels.physical_from_array, image.physical_from_array
        one_place = frame is not None and own is not None and np.allclose(frame, own, atol=1e-3)
        if not one_place and not np.allclose(labels.file_from_array[:-1, :-1], image.file_from_array[:-1, :-1]):
            raise DatasetError(
                f"{found[image_id]}: its header orders the axes differently from that of its image; save both with one header."
            )
        values = np.unique(labels.array)
        if not set(values) <= set(range(len(description.labels))):
            received = ", ".join(f"{value:g}" for value in values)
            raise DatasetError(f"{found[image_id]}: expected labels 0 to {len(description.labels) - 1}, received {received}.")
        fit = pipeline.fit_image(image, dataset.pixel_size(image), model, name=str(dataset.files[image_id]))
        arrays.append(pipeline.network_input(image.array, fit.scale, fit.translation, shape).numpy())
        maps.append(_nearest(labels.array[..., 0].astype("uint8"), fit, shape))
    return np.stack(arrays), np.stack(maps)


def finder(network: keras.Model) -> Callable[[Array], Array]:
    """Function of a network input ([D,] H, W, C) -> label map uint8 ([D,] H, W)."""
    locate = tf.function(lambda image: tf.argmax(network(image, training=False), axis=-1), reduce_retracing=True)
    return lambda image: locate(image[np.newaxis])[0].numpy().astype("uint8")


def _nearest(labels: Array, fit: Fit, shape: Sizes) -> Array:
    """Label map in the network's input, by the nearest pixel; 0 outside."""
    index, inside = [], True
    for axis, side in enumerate(shape):
        coordinate = len(shape) - 1 - axis
        # The pixel whose area holds the point. Rounding would send ties to even numbers and lose every other pixel.
        source = np.floor((np.arange(side) + 0.5 - fit.translation[coordinate]) / fit.scale[coordinate]).astype(int)
        along = [-1 if a == axis else 1 for a in range(len(shape))]
        inside = inside & ((source >= 0) & (source < labels.shape[axis])).reshape(along)
        index.append(np.clip(source, 0, labels.shape[axis] - 1))
    return np.where(inside, labels[np.ix_(*index)], 0).astype("uint8")
