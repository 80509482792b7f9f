"""Copies of data sets that are changed: images, points, lists, description. Images that stay are links to the originals."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import yaml
from PIL import Image

from scn_tf.data.annotations import Annotations
from scn_tf.data.annotations.formats import scn


@dataclass
class Copy:
    """A copy of a set into which a fault is planted."""

    root: Path
    source: object  # the opened original
    rng: np.random.Generator
    points: dict = field(default_factory=dict)
    splits: dict = field(default_factory=dict)

    @property
    def dims(self):
        return self.source.description.dims

    @property
    def names(self):
        return self.source.description.names

    def any_id(self, split=None):
        ids = self.splits[split] if split else [i for i in self.points if any(i in part for part in self.splits.values())]
        return str(self.rng.choice(sorted(ids)))

    def path(self, image_id):
        return next(p for p in (self.root / "images").iterdir() if p.name.split(".")[0] == image_id)

    def array(self, image_id):
        return sitk.GetArrayFromImage(sitk.ReadImage(str(self.path(image_id))))

    def write(self, image_id, array, ending=None, quality=95):
        """Replace an image, with its header if it has one."""
        path = self.path(image_id)
        header = sitk.ReadImage(str(path))
        ending = ending or path.name[len(image_id) :]
        path.unlink()
        path = path.with_name(image_id + ending)
        if self.dims == 2 and ending in (".jpg", ".png", ".bmp"):
            options = {"quality": quality} if ending == ".jpg" else {}
            Image.fromarray(array).save(path, **options)
            return path
        image = sitk.GetImageFromArray(array)
        if image.GetSize() == header.GetSize():
            image.CopyInformation(header)
        sitk.WriteImage(image, str(path))
        return path

    def rename(self, old, new):
        path = self.path(old)
        path.rename(path.with_name(new + path.name[len(old) :]))
        self.points = {new if i == old else i: p for i, p in self.points.items()}
        self.splits = {name: [new if i == old else i for i in ids] for name, ids in self.splits.items()}

    def duplicate(self, image_id, new, split):
        path = self.path(image_id)
        shutil.copy(path, path.with_name(new + path.name[len(image_id) :]))
        self.points[new] = self.points[image_id].copy()
        self.splits[split].append(new)

    def description(self, **changes):
        path = self.root / "dataset.yaml"
        values = {**yaml.safe_load(path.read_text()), **changes}
        path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))

    def to_pixels(self, image_id):
        """(points in pixels of the file, function back to the set's own coordinates)."""
        if self.source.description.coordinates == "pixel":
            return self.points[image_id].copy(), lambda pixels: pixels
        image = sitk.ReadImage(str(self.path(image_id)))
        pixels = np.array([image.TransformPhysicalPointToContinuousIndex(p.tolist()) for p in self.points[image_id]])
        return pixels, lambda changed: np.array([image.TransformContinuousIndexToPhysicalPoint(p.tolist()) for p in changed])

    def size(self, image_id):
        return np.array(sitk.ReadImage(str(self.path(image_id))).GetSize()[: self.dims])

    def save(self):
        scn.write(self.root / self.source.description.annotations, Annotations(self.points, {}, absent=self.source.absent), {})
        for name, ids in self.splits.items():
            (self.root / "splits" / f"{name}.txt").write_text("\n".join(ids) + "\n")


def copied(source, folder, rng):
    root = folder / source.root.name
    (root / "images").mkdir(parents=True)
    (root / "splits").mkdir()
    for path in source.files.values():
        (root / "images" / path.name).symlink_to(path.resolve())
    shutil.copy(source.root / "dataset.yaml", root)
    splits = {name: source.split(name) for name in ("train", "val")}
    return Copy(root, source, rng, {i: p.copy() for i, p in source.landmarks.items()}, splits)
