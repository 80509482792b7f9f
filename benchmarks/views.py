"""Does averaging over moved copies of an image help? `python benchmarks/views.py RUN [--split val] [--copies 16]`.

The copies are moved by a part of what training moves images by; their points are moved back, and the mean over all copies is judged.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

import scn_tf  # noqa: F401
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.runs import checkpoints
from scn_tf.scoring import localization, scores
from scn_tf.systems import opening
from scn_tf.training import augment, draws

GEOMETRY = ("translation", "rotation", "scale", "axis_scale")  # without the elastic field the way back is a matrix


def moved_back(draw, points, size):
    """Points (B, N, d) of augmented images in the images they were made of; the draw has no elastic part."""
    centre = (np.array(size[::-1]) - 1) / 2
    return (points - centre) @ np.swapaxes(draw.linear, 1, 2) + (np.asarray(draw.translation) + centre)[:, None]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--copies", type=int, default=16)
    options = parser.parse_args()
    network, info = checkpoints.load_model(opening.network_file(options.run))
    settings = info.config
    dataset, size = open_dataset(settings.data.root), settings.model.image_size
    data = pipeline.examples(dataset, dataset.split(options.split), settings)
    locate = localization.localizer(network, settings.heatmap.decoder)
    result = localization.localize(locate, data)
    report("one", result, dataset)
    for part in (0.25, 0.5, 0.75):
        less = {name: part * getattr(settings.augment, name) for name in GEOMETRY}
        moves = settings.augment.model_copy(update={**less, "elastic": 0.0, "crop": 0.0, "cover": 0.0})
        means = []
        for example in data:
            draw = draws.sample(moves, options.copies, size, seed=[7, 7])
            copies = augment.warp_images(draw, tf.repeat(example["image"][None], options.copies, axis=0))
            points = np.concatenate([locate(copy[None]).landmarks for copy in copies])
            means.append(moved_back(draw, points, size).mean(axis=0))
        report(f"{options.copies} moved by {part:g} of the ranges", {**result, "predicted": np.stack(means)}, dataset)


def report(name, result, dataset):
    """Print the figures of :func:`scn_tf.scoring.localization.localize`'s result."""
    errors = localization.point_errors(result)
    summary = scores.summarize(
        errors, localization.point_errors(result, "file_per_pixel"), dataset.unit, errors_percent=localization.relative_errors(result)
    )
    print(f"{name:32s} {scores.headline(summary)}", flush=True)


if __name__ == "__main__":
    main()
