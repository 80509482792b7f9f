"""Label maps of a data set, those that a network finds, and how far they agree."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf import config
from scn_tf.config import ModelConfig
from scn_tf.data import images, pipeline
from scn_tf.data.dataset import Dataset
from scn_tf.environment.backend import keras
from scn_tf.errors import DatasetError
from scn_tf.figures import pictures
from scn_tf.geometry import Fit
from scn_tf.storage import files, ownership, tables
from scn_tf.types import Array, Metadata, PathName, Sizes, known

FILES = ("summary.json", "dice.csv", "segmentation.png")  # of an evaluation


def read_examples(dataset: Dataset, ids: Sequence[str], model: ModelConfig) -> tuple[Array, Array]:
    """Fitted images and label maps of a split.

    Args:
        dataset: :class:`scn_tf.data.dataset.Dataset`.
        ids: list of IDs.
        model: resolved :class:`scn_tf.config.ModelConfig`.

    Returns:
        images float32 (I, [D,] H, W, C) and label maps uint8 (I, [D,] H, W), 0 where the input shows no image.

    Raises:
        DatasetError: no label maps, or one that does not fit its image or holds an unknown label.
    """
    description = dataset.description
    if not description.labels:
        raise DatasetError(
            f"{dataset.root / 'dataset.yaml'}: segmentation needs the key labels, the names of the labels, background first."
        )
    found = {images.stem(path): path for path in (dataset.root / "labels").glob("*") if images.is_image(path)}
    arrays, maps, size = [], [], known(model.image_size)
    for identity in ids:
        if identity not in found:
            raise DatasetError(f"{dataset.root / 'labels' / identity}.*: missing label map.")
        image = dataset.read(identity)
        labels = images.read_image(found[identity], dims=description.dims, channels=1)
        if labels.array.shape[:-1] != image.array.shape[:-1]:
            raise DatasetError(f"{found[identity]}: {labels.size.tolist()} pixels, but its image has {image.size.tolist()}.")
        frame, own = labels.physical_from_array, image.physical_from_array
        one_place = frame is not None and own is not None and np.allclose(frame, own, atol=1e-3)
        if not one_place and not np.allclose(labels.file_from_array[:-1, :-1], image.file_from_array[:-1, :-1]):
            raise DatasetError(f"{found[identity]}: its header turns the axes otherwise than that of its image; save both with one header.")
        values = np.unique(labels.array)
        if not set(values) <= set(range(len(description.labels))):
            received = ", ".join(f"{value:g}" for value in values)
            raise DatasetError(f"{found[identity]}: expected labels 0 to {len(description.labels) - 1}, received {received}.")
        fit = pipeline.fit_image(image, dataset.pixel_size(image), model, name=str(dataset.files[identity]))
        arrays.append(pipeline.network_input(image.array, fit.scale, fit.translation, size).numpy())
        maps.append(_nearest(labels.array[..., 0].astype("uint8"), fit, size))
    return np.stack(arrays), np.stack(maps)


def evaluate(network: keras.Model, metadata: Metadata, dataset: Dataset, ids: Sequence[str], out: PathName) -> dict[str, Any]:
    """Dice of every label on a split; writes ``summary.json``, ``dice.csv`` and ``segmentation.png`` of the first image.

    Args:
        network: of the run.
        metadata: of its model file.
        dataset: :class:`scn_tf.data.dataset.Dataset`.
        ids: the split's.
        out: folder to write.

    Returns:
        the summary, dict.
    """
    out = Path(out)
    files.check_folder(out, FILES, witness="summary.json")
    model = config.from_dict(metadata["config"], source="model").model
    names = dataset.description.labels
    if (dataset.description.dims, list(names)) != (metadata["dims"], metadata["labels"]):
        raise DatasetError(
            f"{dataset.root}: {len(names)} labels in {dataset.description.dims}D ({', '.join(names)}), but the model finds "
            f"{len(metadata['labels'])} in {metadata['dims']}D ({', '.join(metadata['labels'])})."
        )
    arrays, truth = read_examples(dataset, ids, model)
    found = predict_maps(network, arrays)
    scores = dice(found, truth, len(names))
    never = [name for name in metadata.get("untrained", ()) if name in names[1:]]
    trained = [name not in never for name in names[1:]]
    if not np.isfinite(scores[:, trained]).any():
        raise DatasetError(f"{dataset.root / 'labels'}: the split has no label that the network was trained on.")
    means = [float(np.nanmean(column)) if np.isfinite(column).any() else None for column in scores.T]
    by_label = dict(zip(names[1:], means, strict=True))
    mean = float(np.nanmean(scores[:, trained]))
    summary = {"images": len(ids), "dice_mean": mean, "dice": by_label, "untrained_labels": never}
    rows = [("id", *names[1:])]
    rows += [(identity, *("" if np.isnan(v) else f"{v:.5f}" for v in row)) for identity, row in zip(ids, scores, strict=True)]
    files.write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    files.write_text(out / "dice.csv", tables.write(rows), ours=ownership.anything)
    with files.replaced(out / "segmentation.png", ours=ownership.anything) as temporary:
        temporary.write_bytes(pictures.encode_png(pictures.label_figure(arrays[0], truth[0], found[0], count=len(names))))
    return summary


def predict_maps(network: keras.Model, arrays: Array) -> Array:
    """Label maps uint8 (I, [D,] H, W) of network inputs (I, [D,] H, W, C), one image at a time."""
    locate = tf.function(lambda image: tf.argmax(network(image, training=False), axis=-1), reduce_retracing=True)
    return np.stack([locate(array[np.newaxis])[0].numpy().astype("uint8") for array in arrays])


def dice(found: Array, truth: Array, count: int) -> Array:
    """Dice coefficients 2 |A and B| / (|A| + |B|) of the labels but the background, NaN where neither map has one.

    Args:
        found, truth: label maps (I, [D,] H, W).
        count: number of labels, background included.

    Returns:
        (I, count - 1).
    """
    found, truth = (np.reshape(maps, (len(maps), 1, -1)) == np.arange(1, count)[:, None] for maps in (found, truth))
    sizes = found.sum(axis=-1) + truth.sum(axis=-1)
    return np.where(sizes > 0, 2.0 * (found & truth).sum(axis=-1) / np.maximum(sizes, 1), np.nan)


def _nearest(labels: Array, fit: Fit, size: Sizes) -> Array:
    """Label map in the network's input: the nearest pixel's, 0 outside."""
    index, inside = [], True
    for axis, side in enumerate(size):
        coordinate = len(size) - 1 - axis
        # The pixel whose area holds the point. Rounding would send ties to even numbers and lose every other pixel.
        source = np.floor((np.arange(side) + 0.5 - fit.translation[coordinate]) / fit.scale[coordinate]).astype(int)
        shape = [-1 if a == axis else 1 for a in range(len(size))]
        inside = inside & ((source >= 0) & (source < labels.shape[axis])).reshape(shape)
        index.append(np.clip(source, 0, labels.shape[axis] - 1))
    return np.where(inside, labels[np.ix_(*index)], 0).astype("uint8")
