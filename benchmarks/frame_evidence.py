"""Which wrong frames does training warn of? `python benchmarks/frame_evidence.py ROOT [ROOT ...] [--images 3 10 100]`.

Puts the points of each data set into wrong frames, one after the other, and prints what would be warned of: `ok` where nothing is wrong
and nothing is warned of or the cause is named, `MISSED` where nothing is warned of, `FALSE` where something else is.
"""

import argparse
import dataclasses
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import scn_tf  # noqa: F401
from scn_tf import config, geometry
from scn_tf.data import evidence, pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DatasetError, ImageError


def in_array(change):
    """A wrong frame from a function (pixels (N, d), size (d,)) -> pixels, axes of the loaded image."""

    def wrong(dataset, image, points):
        array_from_own = dataset.array_from_own(image)
        pixels = geometry.apply(array_from_own, points)
        return geometry.apply(np.linalg.inv(array_from_own), change(pixels, image.size))

    return wrong


def flipped(*axes):
    def change(pixels, size):
        pixels = pixels.copy()
        pixels[:, axes] = (size - 1 - pixels)[:, axes]
        return pixels

    return in_array(change)


UNKNOWN = {("size", ()), ("corner", ())}  # a wrong scale that few images cannot tell from others
WRONG = {
    "right": (None, None),
    "y from the bottom": (flipped(1), {("flip", (1,))}),
    "x mirrored": (flipped(0), {("flip", (0,))}),
    "turned by 180 degrees": (flipped(0, 1), {("flip", (0, 1)), ("negate", (0, 1))}),
    "x and y exchanged": (lambda dataset, image, points: points[:, ::-1], {("reverse", ())}),
    "0 to 1": (lambda dataset, image, points: (points + 0.5) / image.size, {("fraction", ())}),
    "percent": (lambda dataset, image, points: 100 * (points + 0.5) / image.size, {("square", (100,)), *UNKNOWN}),
    "of a copy of half the size": (lambda dataset, image, points: (points + 0.5) / 2 - 0.5, {("scale", (2.0,)), *UNKNOWN}),
    "of a copy of 256 x 256": (lambda dataset, image, points: 256 * (points + 0.5) / image.size - 0.5, {("square", (256,)), *UNKNOWN}),
    "mm": (lambda dataset, image, points: points * dataset.pixel_size(image), {("mm", ()), *UNKNOWN}),
    "RAS": (lambda dataset, image, points: points * [-1, -1, 1], {("negate", (0, 1))}),
    "pixels": (lambda dataset, image, points: geometry.apply(np.linalg.inv(image.physical_from_array), points), {("index", ())}),
    "z mirrored": (flipped(2), {("flip", (2,))}),
}


def applies(name, description, spacing):
    physical = description.coordinates == "physical"
    if name in ("RAS", "pixels"):
        return physical
    if name == "z mirrored":
        return description.dims == 3
    if name == "mm":
        return not physical and spacing is not None
    return not physical or name in ("right", "y from the bottom", "x mirrored", "turned by 180 degrees")


def tried(dataset, ids, wrong):
    """Frame that would be warned of, error's text, and seconds of the evidence."""
    landmarks = dataset.landmarks
    if wrong is not None:
        landmarks = {identity: wrong(dataset, dataset.read(identity), dataset.landmarks[identity]) for identity in ids}
    changed = dataclasses.replace(dataset, landmarks=landmarks)
    settings = config.from_dict({}).resolved(dataset.description.dims)
    surroundings, seconds = evidence.Surroundings(dataset.description.coordinates), 0.0

    def observe(example):
        nonlocal seconds
        started = time.perf_counter()
        surroundings.add(example)
        seconds += time.perf_counter() - started

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline.examples(changed, ids, settings, measured=False, observe=observe)
    except (DatasetError, ImageError) as error:
        return None, str(error), seconds
    started = time.perf_counter()
    found = surroundings.better_frame()
    return found, None, seconds + time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", type=Path, nargs="+", metavar="ROOT")
    parser.add_argument("--images", type=int, nargs="+", default=[100], help="how many training images, at most")
    options = parser.parse_args()
    for root in options.roots:
        dataset = open_dataset(root)
        spacing = dataset.pixel_size(dataset.read(dataset.split("train")[0]))
        for count in options.images:
            ids = dataset.split("train")[:count]
            for name, (wrong, expected) in WRONG.items():
                if not applies(name, dataset.description, spacing):
                    continue
                found, refused, seconds = tried(dataset, ids, wrong)
                said = refused or ("nothing" if found is None else f"{found[0]}, {found[1]:.2f} -> {found[2]:.2f}")
                good = bool(refused) or (found is None if expected is None else found is not None and found[0] in expected)
                verdict = "refused" if refused else "ok" if good else "MISSED" if found is None else "FALSE"
                print(f"{root.name} {len(ids)} images, {name}: {verdict}: {said[:300]} ({seconds:.2f} s)", flush=True)


if __name__ == "__main__":
    main()
