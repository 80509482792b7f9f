"""Inspection of a data set: what the checks look at. Costly parts are computed when a check first asks for them."""

import functools
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from tqdm import tqdm

from scn_tf import shapes
from scn_tf.data import evidence
from scn_tf.doctor import surroundings
from scn_tf.doctor.causes import explain
from scn_tf.doctor.copies import Copy, copies
from scn_tf.doctor.finding import Found
from scn_tf.doctor.folder import Folder, read_folder, shown
from scn_tf.doctor.picture import Picture, digest_of, read_picture
from scn_tf.doctor.single import Misplaced, misplaced
from scn_tf.doctor.undoing import Cause
from scn_tf.presence import known
from scn_tf.types import Array, Example

Memory: TypeAlias = MutableMapping[tuple[object, ...], Picture]  # pictures by digest and what their reading depends on


class Inspection:
    """A data set as the checks see it.

    Args:
        folder: description, table, splits and names of files.
        pictures: ID -> facts of each image file.

    Attributes:
        ids: IDs with an image that can be read and shows something, and a row with at least one landmark. Arrays below are in this order.
    """

    def __init__(self, folder: Folder, pictures: dict[str, Picture]) -> None:
        self.folder, self.pictures = folder, pictures
        self.ids = [
            image_id
            for image_id, points in folder.landmarks.items()
            if image_id in pictures
            and pictures[image_id].is_read
            and pictures[image_id].high > pictures[image_id].low
            and np.isfinite(without_placeholders(points)).any()
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the landmarks."""
        return self.folder.description.names if self.folder.description else ()

    @property
    def coordinates(self) -> str:
        """``pixel`` or ``physical``."""
        return self.folder.description.coordinates if self.folder.description else "pixel"

    def problems(self, kind: str) -> list[Found]:
        """What reading the folder reported of a kind."""
        return self.folder.problems.get(kind, [])

    def line(self, image_id: str) -> str:
        """Place of an image's row, for messages: ``landmarks.csv, line 4 (hand_003)``. A mean of raters has no line."""
        if self.folder.raters:
            return f"{self.folder.table_name} ({shown(image_id)})"
        return f"{self.folder.table_name}, line {self.folder.rows.get(image_id, 0)} ({shown(image_id)})"

    def file(self, image_id: str) -> str:
        """Name of an image's file in the set's folder, for messages."""
        return f"images/{shown(self.pictures[image_id].path.name)}"

    def landmark(self, number: int) -> str:
        """Name of a landmark, for messages; ``landmark 4`` if the set counts them."""
        name = shown(self.names[number])
        return f"landmark {name}" if name.isdigit() else name

    def pixel_size(self, image_id: str) -> Array | None:
        """(d,) mm per array pixel by ``spacing_mm`` or the header; None if neither states it."""
        picture = self.pictures[image_id]
        spacing_mm = self.folder.description.spacing_mm if self.folder.description else None
        if spacing_mm is None:
            return picture.spacing
        return np.abs(np.linalg.inv(known(picture.file_from_array))[:-1, :-1]) @ np.asarray(spacing_mm, float)

    @functools.cached_property
    def examples(self) -> "Examples":
        """Small copies and points of ``ids``. They are made when asked for, since pixels as numbers take much memory."""
        return Examples(self)

    @functools.cached_property
    def points(self) -> Array:
        """(I, N, d) landmarks in pixels of the small copies, NaN if absent."""
        found = [np.where(one["annotated"][:, None] > 0, one["landmarks"], np.nan) for one in self.examples]
        dims = self.folder.description.dims if self.folder.description else 2
        return np.stack(found) if found else np.zeros((0, len(self.names), dims))

    @functools.cached_property
    def shapes(self) -> shapes.Shapes | None:
        """Usual shape of the set."""
        return shapes.learn(self.points)

    @functools.cached_property
    def templates(self) -> surroundings.Templates | None:
        """Usual surroundings of the landmarks."""
        return surroundings.learn(self.examples)

    @functools.cached_property
    def causes(self) -> dict[str, Cause]:
        """ID -> likely mistake of the images whose points do not fit as a whole."""
        return explain(self)

    @functools.cached_property
    def misplaced(self) -> dict[str, Misplaced]:
        """ID -> single landmarks that do not fit."""
        return misplaced(self, set(self.causes))

    @functools.cached_property
    def copies(self) -> list[Copy]:
        """Pairs of images that show the same."""
        return copies(list(self.pictures.values()))

    @functools.cached_property
    def better_frame(self) -> tuple[evidence.Frame, float, float] | None:
        """Frame in which the points of the whole set fit the images much better; see :mod:`scn_tf.data.evidence`."""
        found = evidence.Surroundings(self.coordinates)
        step = max(1, len(self.ids) // evidence.MAX_IMAGES)
        for number in range(0, len(self.ids), step):
            found.add(self.examples[number])
        return found.better_frame()


class Examples(Sequence[Example]):
    """Examples of an inspection's ``ids``, see :func:`scn_tf.doctor.surroundings.example`."""

    def __init__(self, inspection: Inspection) -> None:
        self.inspection = inspection

    def __len__(self) -> int:
        return len(self.inspection.ids)

    @overload
    def __getitem__(self, number: int) -> Example: ...
    @overload
    def __getitem__(self, number: slice) -> list[Example]: ...
    def __getitem__(self, number: int | slice) -> Example | list[Example]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        inspection, image_id = self.inspection, self.inspection.ids[number]
        points = without_placeholders(inspection.folder.landmarks[image_id])
        return surroundings.example(inspection.pictures[image_id], points, inspection.coordinates, inspection.pixel_size(image_id))


def placeholders(points: Array) -> Array:
    """(N,) whether points (N, d) are 0,0 or -1,-1 or the like, which other programs write for absent landmarks."""
    return (points <= 1).all(axis=1) & (points == points[:, :1]).all(axis=1) & (points == np.rint(points)).all(axis=1)


def without_placeholders(points: Array) -> Array:
    """Points (N, d) with NaN in place of placeholders."""
    return np.where(placeholders(points)[:, None], np.nan, points)


def inspect(root: Path, *, memory: Memory | None = None, progress: bool = False, only: Sequence[str] | None = None) -> Inspection:
    """Read a data-set folder. Images are read one at a time, and only small copies are kept.

    Args:
        root: folder of the set.
        memory: pictures that need not be read again, by the content of their files; new ones are added.
        progress: whether to show a progress bar.
        only: IDs of the images to read; None for all.

    Raises:
        DatasetError: there is no folder, or no ``dataset.yaml`` in it.
    """
    folder = read_folder(Path(root))
    description = folder.description
    dims, spacing_mm = (description.dims, description.spacing_mm) if description else (None, None)
    pictures: dict[str, Picture] = {}
    chosen = [(image_id, path) for image_id, path in folder.files.items() if only is None or image_id in only]
    for image_id, path in tqdm(chosen, desc="Reading images", unit="image", leave=False, disable=None if progress else True):
        digest = digest_of(path)
        key = digest, path.name.lower().partition(".")[2], dims, spacing_mm
        found = None if memory is None else memory.get(key)
        if found is None:
            found = read_picture(image_id, path, digest, dims=dims, spacing_mm=spacing_mm)
            if memory is not None and found.is_read:
                memory[key] = found
        pictures[image_id] = replace(found, image_id=image_id, path=path)
    return Inspection(folder, pictures)
