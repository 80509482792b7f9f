"""Evaluation of label maps on a split: Dice of every label."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scn_tf.data.dataset import Dataset
from scn_tf.errors import DatasetError
from scn_tf.figures import pictures
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import evaluated_data
from scn_tf.storage import files, ownership, tables
from scn_tf.systems.label_map.maps import read_examples
from scn_tf.types import Array

FILES = ("summary.json", "dice.csv", "segmentation.png")


def evaluate(
    find: Callable[[Array], Array], info: ModelInfo, dataset: Dataset, ids: Sequence[str], split: str, out: Path
) -> dict[str, Any]:
    """Compute the Dice of every label on a split. Writes ``summary.json``, ``dice.csv`` and ``segmentation.png`` of the first image.

    Args:
        find: function of a network input ([D,] H, W, C) -> label map uint8 ([D,] H, W).
        info: of the model file.
        dataset: :class:`scn_tf.data.dataset.Dataset`.
        ids: of the split's images.
        split: its name.
        out: folder to write.

    Returns:
        the summary, dict.
    """
    files.check_folder(out, FILES, witness="summary.json")
    names = dataset.description.labels
    if (dataset.description.dims, list(names)) != (info.dims, list(info.labels)):
        raise DatasetError(
            f"{dataset.root}: {len(names)} labels in {dataset.description.dims}D ({', '.join(names)}), but the model finds "
            f"{len(info.labels)} in {info.dims}D ({', '.join(info.labels)})."
        )
    arrays, truth = read_examples(dataset, ids, info.config.model)
    found = np.stack([find(array) for array in arrays])
    scores = dice(found, truth, len(names))
    never = [name for name in info.untrained if name in names[1:]]
    trained = [name not in never for name in names[1:]]
    if not np.isfinite(scores[:, trained]).any():
        raise DatasetError(f"{dataset.root / 'labels'}: the split has no label that the network was trained on.")
    means = [float(np.nanmean(column)) if np.isfinite(column).any() else None for column in scores.T]
    by_label = dict(zip(names[1:], means, strict=True))
    mean = float(np.nanmean(scores[:, trained]))
    summary = {"images": len(ids), "dice_mean": mean, "dice": by_label, "untrained_labels": never}
    summary |= evaluated_data.stated(dataset, ids, split, info)
    rows = [("id", *names[1:])]
    rows += [(image_id, *("" if np.isnan(v) else f"{v:.5f}" for v in row)) for image_id, row in zip(ids, scores, strict=True)]
    files.write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    files.write_text(out / "dice.csv", tables.write(rows), ours=ownership.anything)
    with files.replaced(out / "segmentation.png", ours=ownership.anything) as temporary:
        temporary.write_bytes(pictures.encode_png(pictures.label_figure(arrays[0], truth[0], found[0], count=len(names))))
    return summary


def dice(found: Array, truth: Array, count: int) -> Array:
    """Dice coefficients 2 |A and B| / (|A| + |B|) of all labels except the background. NaN if neither map has the label.

    Args:
        found, truth: label maps (I, [D,] H, W).
        count: number of labels, background included.

    Returns:
        (I, count - 1).
    """
    found, truth = (np.reshape(maps, (len(maps), 1, -1)) == np.arange(1, count)[:, None] for maps in (found, truth))
    sizes = found.sum(axis=-1) + truth.sum(axis=-1)
    return np.where(sizes > 0, 2.0 * (found & truth).sum(axis=-1) / np.maximum(sizes, 1), np.nan)
