"""The embedded data set: synthetic hands in the folder format, drawn by a seed.

Bones are soft capsules that overlap at the joints and add up like absorption in a radiograph. All joints of all fingers look alike;
only their arrangement distinguishes them. Pose, size, contrast, noise and collimation vary from image to image. Some hands are odd:
cut by the collimation, covered by metal, or without parts of fingers.
"""

import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import SimpleITK as sitk
import yaml

from scn_tf.data.annotations import Annotations
from scn_tf.data.annotations.formats import scn
from scn_tf.errors import DatasetError
from scn_tf.storage import files
from scn_tf.types import Array, PathName

FINGERS = {
    # angle of the metacarpal (radians from straight up), lengths in mm of metacarpal and phalanges
    "thumb": (0.75, (38, 30, 24)),
    "index": (0.22, (62, 38, 23, 19)),
    "middle": (0.03, (61, 42, 27, 20)),
    "ring": (-0.15, (56, 39, 26, 20)),
    "little": (-0.34, (52, 31, 19, 18)),
}
JOINTS = {"thumb": ("mcp", "ip", "tip"), "other": ("mcp", "pip", "dip", "tip")}
NAMES_2D = (
    *(f"{finger}_{joint}" for finger in FINGERS for joint in JOINTS.get(finger, JOINTS["other"])),
    *("radius", "ulna"),
)
FINGERS_3D = ("index", "middle", "ring")
NAMES_3D = tuple(f"{finger}_{joint}" for finger in FINGERS_3D for joint in JOINTS["other"])
SIZE_2D, SPACING_2D = (192, 256), 0.9  # (x, y) pixels, mm
SIZE_3D, SPACING_3D = (40, 56, 32), 3.6  # (x, y, z) pixels, mm
ORIGIN_3D = (-20.0, 35.0, 10.0)
ODDITIES = ("collimated", "covered", "amputated")
ODD, TRAINED = 18, 1 / 3  # odd hands of the default set, and share of them that is trained on
VERSION = 3  # raise it when the same seed gives another folder

Bone: TypeAlias = tuple[Array, Array, float]  # start (d,), end (d,), radius; mm


def _hand(rng: np.random.Generator, dims: int) -> tuple[Array, list[Bone]]:
    """One hand: landmark coordinates (N, dims) in mm around 0, y down, and capsules (start, end, radius)."""
    size = rng.uniform(0.8, 1.15)
    turn = rng.uniform(-0.2, 0.2)
    spread = rng.uniform(0.75, 1.1)
    chosen: Iterable[str] = FINGERS if dims == 2 else FINGERS_3D
    points, bones = [], []
    for finger in chosen:
        angle, lengths = FINGERS[finger]
        angle = turn + spread * angle + rng.normal(0, 0.05)
        lift = rng.normal(0, 0.12)  # out of the plane, 3D alone
        start = np.array([22.0 * math.sin(1.6 * angle), -6.0 * abs(angle), 0.0])[:dims]
        for number, usual in enumerate(lengths):
            length = size * usual * rng.uniform(0.92, 1.08)
            direction = np.array([math.sin(angle), -math.cos(angle), math.sin(lift)])[:dims]
            end = start + length * direction / np.linalg.norm(direction)
            bones.append((start, end, size * (4.6 - 0.6 * number) * rng.uniform(0.9, 1.1)))
            points.append(end)
            start = end
            angle += rng.normal(0, 0.09)
            lift += rng.normal(0, 0.12)
    if dims == 2:
        for offset, radius in ((13.0, 8.0), (-13.0, 6.0)):
            across = np.array([math.cos(turn), math.sin(turn)])
            along = np.array([-math.sin(turn), math.cos(turn)])
            head = size * (offset * across + 14.0 * along)
            bones.append((head, head + 90.0 * along, size * radius))
            points.append(head)
    return np.array(points), bones


def _distance(grid: Array, start: Array, end: Array) -> Array:
    """Distance (*size,) of grid points (*size, d) from a segment."""
    along = end - start
    position = np.clip((grid - start) @ along / (along @ along), 0.0, 1.0)
    return np.linalg.norm(grid - start - position[..., None] * along, axis=-1)


def _soft_step(values: Array) -> Array:
    """Logistic step from 0 to 1, in a form that does not overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def _amputated(rng: np.random.Generator, dims: int) -> Array:
    """Bones that are missing, bool: two fingers end at a random joint."""
    chosen = FINGERS if dims == 2 else FINGERS_3D
    lengths = [len(FINGERS[finger][1]) for finger in chosen]
    gone = np.zeros(len(NAMES_2D if dims == 2 else NAMES_3D), bool)
    for finger in rng.choice(len(lengths), 2, replace=False):
        last = sum(lengths[: finger + 1])
        gone[last - rng.integers(1, lengths[finger]) : last] = True
    return gone


def _covered(rng: np.random.Generator, grid: Array, points: Array) -> Array:
    """Pixels (*size,) under a piece of metal, an ellipse around a random landmark; grid (*size, d) and points in mm."""
    axes = rng.uniform(6.0, 16.0, points.shape[1])
    return np.linalg.norm((grid - rng.choice(points)) / axes, axis=-1) < 1.0


def _border(rng: np.random.Generator, points: Array) -> tuple[int, float, float]:
    """Axis, side (1 or -1) and place in mm of a border beyond which some of the points (N, d) lie: their tips, or one side."""
    axis = int(rng.integers(2))
    side = -1.0 if axis or rng.random() < 0.5 else 1.0  # y: from the top, where the fingers are
    first, second = np.sort(-side * points[:, axis])[rng.integers(1, len(points) // 3) + np.arange(2)]
    return axis, side, -side * (first + second) / 2


def _draw(rng: np.random.Generator, size: tuple[int, ...], spacing: float, oddity: str | None) -> tuple[Array, Array, Array, Array]:
    """One image of a hand.

    Returns:
        image uint8 ([z,] y, x), landmarks (N, d) in pixels (x, y[, z]), label map uint8 ([z,] y, x), absent landmarks (N,) bool.
    """
    dims = len(size)
    points, bones = _hand(rng, dims)
    absent = _amputated(rng, dims) if oddity == "amputated" else np.zeros(len(points), bool)
    labels, depth = np.zeros(size[::-1], "uint8"), np.zeros(size[::-1])
    extent = np.array(size) * spacing
    # The hand's middle near the image's, a little off; forearm at the bottom.
    shift = extent / 2 - (points.min(0) + points.max(0)) / 2 + rng.uniform(-0.05, 0.05, dims) * extent
    points = points + shift
    axes = [(np.arange(n) + 0.5) * spacing for n in size]
    grid = np.stack(np.meshgrid(*axes[::-1], indexing="ij")[::-1], axis=-1)
    absorption = np.zeros(size[::-1])
    soft = 1.1 * spacing
    flesh = np.full(size[::-1], np.inf)
    for number, (start, end, radius) in enumerate(bones):
        if absent[number]:
            continue
        distance = _distance(grid, start + shift, end + shift)
        # The shaft is thinner than its ends: the joint is where two thick ends overlap.
        ends = np.minimum(np.linalg.norm(grid - start - shift, axis=-1), np.linalg.norm(grid - end - shift, axis=-1))
        width = radius * (0.72 + 0.28 * np.exp(-((ends / (1.6 * radius)) ** 2)))
        absorption += _soft_step((width - distance) / (0.35 * soft))
        flesh = np.minimum(flesh, distance - 1.7 * radius)
        deeper = width - distance > depth  # where bones overlap, the one whose border is farther
        labels[deeper], depth[deeper] = _label(number, dims), (width - distance)[deeper]
    absorption = rng.uniform(0.6, 1.0) * absorption + rng.uniform(0.3, 0.6) * _soft_step(-flesh / soft)
    image = 1.0 - np.exp(-absorption * rng.uniform(0.7, 1.2))
    image = image ** rng.uniform(0.8, 1.3) + rng.uniform(0.0, 0.15)
    slope = rng.normal(0, 0.08, dims)
    image = image * (1.0 + (grid / extent - 0.5) @ slope) + rng.normal(0, rng.uniform(0.01, 0.05), image.shape)
    if oddity == "covered":
        image[_covered(rng, grid, points)] = image.max()
    if dims == 2:
        # Collimation: the tube's shutters leave a dark frame.
        low, high = rng.uniform(0, 0.05, 2) * extent, (1 - rng.uniform(0, 0.05, 2)) * extent
        shut = ((grid < low) | (grid > high)).any(axis=-1)
        image[shut] = rng.uniform(0, 0.05)
    if oddity == "collimated":
        axis, side, place = _border(rng, points)
        shut = side * (grid[..., axis] - place) > 0
        image[shut], labels[shut] = 0.02, 0
        absent |= side * (points[:, axis] - place) > 0
    image = np.clip(image / image.max(), 0, 1)
    absent |= ((points < 0) | (points > extent)).any(axis=1)
    return (255 * image).astype("uint8"), points / spacing - 0.5, labels, absent


def _label(bone: int, dims: int) -> int:
    """Label of a bone by its number: one per finger, radius and ulna."""
    lengths = [len(FINGERS[finger][1]) for finger in (FINGERS if dims == 2 else FINGERS_3D)]
    last = np.cumsum(lengths)
    finger = int(np.searchsorted(last, bone, side="right"))
    return 1 + finger + (bone - last[-1] if finger == len(lengths) else 0)


def generate(root: PathName, *, dims: int = 2, train: int = 60, val: int = 20, odd: int = 0, seed: int = 0) -> None:
    """Write a synthetic data set with landmarks and label maps.

    Args:
        root: folder to write. ``dataset.yaml`` is written last, so a folder that has it is complete.
        dims: 2 (PNG, 21 landmarks, pixel coordinates) or 3 (NIfTI, 12 landmarks, physical coordinates).
        train, val: usual hands of the two splits.
        odd: hands of all ``ODDITIES`` in turn. A third of them is trained on, too; the others are the split ``odd``.
        seed: seed of all random values.
    """
    root = Path(root)
    names, size, spacing = (NAMES_2D, SIZE_2D, SPACING_2D) if dims == 2 else (NAMES_3D, SIZE_3D, SPACING_3D)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    points: dict[str, Array] = {}
    absent: dict[str, Array] = {}
    ids, odd_ids = ([f"{name}_{number:03d}" for number in range(count)] for name, count in (("hand", train + val), ("odd", odd)))
    # One generator an image: the first images do not depend on how many there are.
    drawn: list[tuple[str, list[int], str | None]] = [(image_id, [seed, number], None) for number, image_id in enumerate(ids)]
    drawn += [(image_id, [seed, number, 1], ODDITIES[number % len(ODDITIES)]) for number, image_id in enumerate(odd_ids)]
    for image_id, own, oddity in drawn:
        array, landmarks, labels, absent[image_id] = _draw(np.random.default_rng(own), size, spacing, oddity)
        for folder, content in (("images", array), ("labels", labels)):
            image = sitk.GetImageFromArray(content)
            if dims == 3:
                image.SetSpacing([spacing] * 3)
                image.SetOrigin(ORIGIN_3D)
            sitk.WriteImage(image, str(root / folder / f"{image_id}{'.png' if dims == 2 else '.nii.gz'}"))
        if dims == 3:
            landmarks = landmarks * spacing + np.array(ORIGIN_3D)
        points[image_id] = np.where(absent[image_id][:, None], np.nan, np.round(landmarks, 3))
    scn.write(root / "landmarks.csv", Annotations(points, {}, absent=absent), {})
    trained = round(TRAINED * odd)
    splits = {"train": ids[:train] + odd_ids[:trained], "val": ids[train:], "odd": odd_ids[trained:]}
    for name, listed in splits.items():
        if listed:
            files.write_text(root / "splits" / f"{name}.txt", "\n".join(listed) + "\n")
    description: dict[str, object] = {"name": f"synthetic_hands_{dims}d", "dims": dims, "landmarks": list(names)}
    description["labels"] = ["background", *(FINGERS if dims == 2 else FINGERS_3D), *(("radius", "ulna") if dims == 2 else ())]
    description |= {"coordinates": "pixel", "spacing_mm": [spacing] * 2} if dims == 2 else {"coordinates": "physical"}
    files.write_text(root / "dataset.yaml", yaml.safe_dump(description, sort_keys=False))


def ensure(root: PathName) -> Path:
    """Folder of the default set, generated if missing. Several processes may call this at the same time."""
    root = Path(f"{root}_v{VERSION}")
    if (root / "dataset.yaml").exists():
        return root
    files.make_folder(root.parent)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as temporary:
        generate(Path(temporary) / "set", odd=ODD)
        try:
            os.replace(Path(temporary) / "set", root)
        except OSError:
            if not (root / "dataset.yaml").exists():  # else another process was faster
                raise DatasetError(f"{root}: holds something other than a complete synthetic set; remove it.") from None
    return root
