"""Two generated data sets unlike hands: wide pictures of winged things, and small volumes with tubes.

`python benchmarks/drawn_sets.py FOLDER` writes `FOLDER/wings` (2D, 15 landmarks, pictures of several sizes, no pixel size) and
`FOLDER/tubes` (3D, 9 landmarks, 1.5 mm, physical coordinates).
"""

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import yaml

# Vein junctions of a wing in units of its length, and the veins between them.
JUNCTIONS = np.array(
    [
        (0.00, 0.00), (0.18, -0.10), (0.42, -0.17), (0.70, -0.16), (0.98, 0.00), (0.84, 0.15), (0.58, 0.22), (0.30, 0.18),
        (0.24, 0.01), (0.46, -0.04), (0.50, 0.09), (0.68, 0.02), (0.80, -0.03), (0.12, 0.06), (0.36, 0.10),
    ]
)  # fmt: skip
VEINS = [
    (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 13), (13, 0), (1, 8), (8, 9), (9, 12), (12, 4), (8, 14), (14, 10),
    (10, 11), (11, 12), (9, 10), (2, 9), (6, 10), (7, 14), (13, 8),
]  # fmt: skip
# Ends and forks of tubes in units of the body's half axes.
NODES = np.array(
    [
        (0.0, 0.0, -0.8), (0.0, 0.1, -0.2), (0.5, 0.2, 0.2), (-0.5, 0.1, 0.2), (0.7, 0.0, 0.6),
        (0.3, -0.4, 0.6), (-0.7, 0.3, 0.5), (-0.4, -0.3, 0.6), (0.0, 0.7, 0.0),
    ]
)  # fmt: skip
TUBES = [(0, 1), (1, 2), (1, 3), (2, 4), (2, 5), (3, 6), (3, 7), (1, 8)]
SPACING, ORIGIN, SIZE_3D = 1.5, (12.0, -40.0, 7.5), (44, 60, 52)  # mm, mm, pixels (x, y, z)


def distance(grid, start, end):
    """Distance (*size,) of points (*size, d) from a segment."""
    along = end - start
    share = np.clip((grid - start) @ along / (along @ along), 0.0, 1.0)
    return np.linalg.norm(grid - start - share[..., None] * along, axis=-1)


def rotation(rng, dims, spread):
    """Random rotation (d, d): normal angles about each axis, radians."""
    result = np.eye(dims)
    for first, second in [(0, 1), (0, 2), (1, 2)][: 1 if dims == 2 else 3]:
        angle, turn = rng.normal(0, spread), np.eye(dims)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


def wing(rng):
    """Picture uint8 (H, W) and its landmarks (15, 2) in pixels."""
    width, height = int(rng.integers(420, 560)), int(rng.integers(220, 290))
    points = JUNCTIONS + rng.normal(0, 0.012, JUNCTIONS.shape)
    points = (points - points.mean(axis=0)) @ rotation(rng, 2, 0.15).T * rng.uniform(0.68, 0.85) * width
    points += np.array([width, height]) * (0.5 + rng.uniform(-0.05, 0.05, 2))
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(float)
    ink = np.zeros((height, width))
    for first, second in VEINS:
        thick = rng.uniform(1.2, 2.4)
        ink = np.maximum(ink, np.clip(thick + 0.5 - distance(grid, points[first], points[second]), 0, 1))
    for _ in range(40):  # hairs, in no order
        start = rng.uniform((0, 0), (width, height))
        ink = np.maximum(ink, 0.5 * np.clip(1.2 - distance(grid, start, start + rng.normal(0, 9, 2)), 0, 1))
    shade = 190 + 40 * np.sin(grid @ rng.normal(0, 0.006, 2) + rng.uniform(0, 6))
    picture = shade * (1 - rng.uniform(0.5, 0.8) * ink) + rng.normal(0, rng.uniform(4, 14), ink.shape)
    return np.clip(picture, 0, 255).astype("uint8"), points


def tubes(rng):
    """Volume int16 (D, H, W) and its landmarks (9, 3) in pixels."""
    size = np.array(SIZE_3D)
    axes = size * rng.uniform(0.36, 0.44, 3)
    turn, centre = rotation(rng, 3, 0.12), (size - 1) / 2 + rng.uniform(-0.04, 0.04, 3) * size
    nodes = (NODES + rng.normal(0, 0.04, NODES.shape)) * axes @ turn.T + centre
    grid = np.stack(np.meshgrid(*map(np.arange, size[::-1]), indexing="ij")[::-1], axis=-1).astype(float)
    inside = (((grid - centre) @ turn / axes) ** 2).sum(axis=-1)
    volume = -700 + 650 / (1 + np.exp(12 * (inside - 1)))
    for first, second in TUBES:
        volume += 400 * np.clip(rng.uniform(1.2, 2.0) + 0.5 - distance(grid, nodes[first], nodes[second]), 0, 1)
    return (volume + rng.normal(0, rng.uniform(30, 80), volume.shape)).astype("int16"), nodes


def write(root, draw, *, train, val, seed, physical):
    """Write a data set. ``dataset.yaml`` is last, so a folder that has it is complete."""
    for folder in ("images", "splits"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(train + val):
        array, points = draw(np.random.default_rng([seed, number]))
        image = sitk.GetImageFromArray(array)
        if physical:
            image.SetSpacing([SPACING] * 3)
            image.SetOrigin(ORIGIN)
            points = points * SPACING + ORIGIN
        sitk.WriteImage(image, str(root / "images" / f"{number:03d}{'.nii.gz' if physical else '.png'}"))
        rows.append(",".join([f"{number:03d}", *(f"{value:.3f}" for value in points.ravel())]))
    (root / "landmarks.csv").write_text("\n".join(rows) + "\n")
    names = [f"{number:03d}" for number in range(train + val)]
    (root / "splits" / "train.txt").write_text("\n".join(names[:train]) + "\n")
    (root / "splits" / "val.txt").write_text("\n".join(names[train:]) + "\n")
    about = {"name": root.name, "dims": 3 if physical else 2, "landmarks": len(points), "coordinates": "physical" if physical else "pixel"}
    (root / "dataset.yaml").write_text(yaml.safe_dump(about, sort_keys=False))


def ensure(folder, *, few=False):
    """Write both sets unless they are there; ``few`` images for tests."""
    for name, draw, train, val in (("wings", wing, 60, 20), ("tubes", tubes, 24, 8)):
        if not (folder / name / "dataset.yaml").exists():
            train, val = (5, 2) if few else (train, val)
            write(folder / name, draw, train=train, val=val, seed=len(name), physical=draw is tubes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    ensure(parser.parse_args().folder)
