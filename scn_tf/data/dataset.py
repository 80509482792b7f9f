"""The folder format: ``dataset.yaml``, ``images/``, a landmark table and ``splits/``."""

import dataclasses
import functools
import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from scn_tf import geometry
from scn_tf.data import frames, images, raters
from scn_tf.data.annotations import Annotations
from scn_tf.data.description import Description, read_description
from scn_tf.data.images import Image
from scn_tf.data.text import read_text
from scn_tf.errors import DatasetError, DataWarning, MissingImagesError, NoImageLeftError
from scn_tf.messages import cut, visible
from scn_tf.types import Array, PathName

FEW_OUTSIDE = 2  # so many landmarks may lie outside an image, even if they are most of it

Misspelt: TypeAlias = tuple[Path, int, str, str]  # list, line, ID as written, ID of the image


@dataclass(frozen=True)
class Dataset:
    """An opened data set. No image is read yet.

    Attributes:
        root: folder of the set.
        description: contents of ``dataset.yaml``.
        landmarks: ID -> (N, d) in the set's own coordinates, NaN where there is no point. Of several raters, their mean.
        absent: ID -> (N,) bool, landmarks that are known not to be in the image. Others without a point are not annotated.
        rows: ID -> line of the table, for messages.
        files: ID -> image file.
        spacings: ID -> (d,) mm per array pixel by the header, None if it states none. Only images that were read have an entry.
        raters: name -> table, if the set has several raters (:mod:`scn_tf.data.raters`); else empty.
    """

    root: Path
    description: Description
    landmarks: dict[str, Array]
    absent: dict[str, Array] = field(repr=False)
    rows: dict[str, int] = field(repr=False)
    files: dict[str, Path] = field(repr=False)
    spacings: dict[str, Array | None] = field(default_factory=dict, repr=False)
    raters: dict[str, Annotations] = field(default_factory=dict, repr=False)

    @property
    def table(self) -> Path:
        """Path of the landmark table; of several raters, the first one."""
        return self.root / self.description.tables[0]

    @functools.cached_property
    def by_rater(self) -> dict[str, "Dataset"]:
        """The same set with the table of each rater alone. Images without a row there have no point."""
        no_point = np.full((len(self.description.names), self.description.dims), np.nan)
        not_stated = np.zeros(len(no_point), bool)
        return {
            name: dataclasses.replace(
                self,
                description=self.description.model_copy(update={"annotations": self.description.raters[name], "raters": {}}),
                landmarks={image_id: table.points.get(image_id, no_point) for image_id in self.landmarks},
                absent={image_id: table.absent.get(image_id, not_stated) for image_id in self.landmarks},
                rows={image_id: table.rows.get(image_id, 0) for image_id in self.landmarks},
                raters={},
            )
            for name, table in self.raters.items()
        }

    def split(self, name: str, *, missing: Literal["refuse", "skip"] = "refuse") -> list[str]:
        """IDs of a list, ``splits/NAME.txt`` or elsewhere in the set's folder. Each has an image and a row.

        Args:
            name: ``val``, a path such as ``official/cv/set1/test``, or several joined: ``train+val``.
            missing: ``"refuse"`` missing images, or ``"skip"`` them with a warning that counts them.

        Raises:
            DatasetError: the split does not exist, an ID is unknown, duplicate or not annotated, or images are missing.
            NoImageLeftError: missing images are skipped, and none is left.
        """
        ids: list[str] = []
        absent: dict[str, str] = {}  # ID -> what is missing
        misspelt: list[Misspelt] = []
        for path, line, image_id in self._lines(name):
            if image_id in ids or image_id in absent:
                raise DatasetError(f"{path}, line {line}: {_shown(image_id)} appears twice.")
            if image_id in self.files and image_id not in self.landmarks:
                row = next((row for row in self.landmarks if row.startswith(f"{image_id}.")), None)
                hint = f" An ID has no ending: the row there is of {_shown(row)}. Remove the endings from the table." if row else ""
                raise DatasetError(f"{path}, line {line}: {_shown(image_id)} has no row in {self.table}.{hint}")
            if image_id in self.files:
                ids.append(image_id)
                continue
            if (meant := self._meant(image_id)) is not None:
                misspelt.append((path, line, image_id, meant))
            if image_id in self.landmarks:
                place = self.root / "images" / _shown(image_id)
                absent[image_id] = f"{place}.*: missing image ({self.table}, line {self.rows[image_id]})"
            else:
                absent[image_id] = f"{path}, line {line}: unknown ID {_shown(image_id)}: neither in {self.table} nor in images/"
        if misspelt:
            raise DatasetError(self._about_misspelt(misspelt, len(ids) + len(absent)))
        if absent:
            message = next(iter(absent.values()))
            if len(absent) > 1:
                message += f"; {len(absent)} of the {len(absent) + len(ids)} images of split {name} are missing"
            if missing == "refuse":
                raise MissingImagesError(f"{message}. Add them. With data.missing skip the run continues without them.", set(absent))
            if not ids:
                raise NoImageLeftError(f"{message}: none is left.")
            warnings.warn(f"{message}; continuing with {len(ids)}.", DataWarning, stacklevel=2)
        if not ids:
            raise DatasetError(f"{self.root}: split {name} is empty.")
        return ids

    def _meant(self, image_id: str) -> str | None:
        """ID of the image that a misspelt entry of a list means: one with an ending, a folder, quotation marks or other capitals.

        Else None.
        """
        bare = image_id.strip("\"'").replace("\\", "/").rsplit("/", 1)[-1]
        for name in (bare, images.stem(bare), bare.split(",")[0]):
            if name in self.files:
                return name
        return self._by_lower_case.get(images.stem(bare).lower())

    @functools.cached_property
    def _by_lower_case(self) -> dict[str, str]:
        return {image_id.lower(): image_id for image_id in self.files}

    def _about_misspelt(self, entries: list[Misspelt], total: int) -> str:
        """Message about entries of a split that are misspelt IDs of existing images."""
        path, line, image_id, meant = entries[0]
        endings = all(entry.startswith(own) and images.stem(entry) == own for _, _, entry, own in entries)
        reason = "an ID has no ending" if endings else "an ID is the name of the image file without folder and ending, in the same capitals"
        table = f" Do the same in {self.table}." if image_id in self.landmarks else ""
        return (
            f"{path}, line {line}: {_shown(image_id)} is no ID, but {self.files[meant].name} is there: {reason}. "
            f"Write {_shown(meant)}; {len(entries)} of the {total} IDs of the split need it.{table}"
        )

    def drawn(
        self, name: str, count: int | None, *, seed: int, leave_out: Collection[str] = (), missing: Literal["refuse", "skip"] = "refuse"
    ) -> list[str]:
        """Draw ``count`` IDs of a split by a seed, in the split's order. A larger count includes the IDs of a smaller one.

        Args:
            name, missing: see :meth:`split`.
            count: number of IDs; None for all.
            seed: seed of the draw.
            leave_out: IDs that are taken away from those drawn.

        Raises:
            DatasetError: as in :meth:`split`, the split has fewer images than ``count``, an ID to leave out is unknown, or none is left.
        """
        ids = self.split(name, missing=missing)
        if count is None:
            return self._without(leave_out, ids, name)
        if count > len(ids):
            raise DatasetError(f"data.train_count: {count} images, but split {name} of {self.root} has {len(ids)}.")
        order = np.random.default_rng(seed).permutation(len(ids))
        return self._without(leave_out, [ids[index] for index in sorted(order[:count])], name)

    def _without(self, leave_out: Collection[str], ids: list[str], name: str) -> list[str]:
        """IDs of a split without some."""
        if unknown := [image_id for image_id in leave_out if image_id not in self.landmarks and image_id not in self.files]:
            raise DatasetError(f"data.leave_out: {_shown(unknown[0])}: {self.root} has no image of this ID.")
        kept = [image_id for image_id in ids if image_id not in leave_out]
        if not kept:
            raise DatasetError(f"data.leave_out: names every image of split {name} of {self.root}.")
        return kept

    def _lines(self, name: str) -> Iterator[tuple[Path, int, str]]:
        """(file, line, ID) of all lists of a split's name."""
        for part in name.split("+"):
            # Files of an evaluation go into a folder of this name.
            if Path(part).is_absolute() or ".." in Path(part).parts:
                raise DatasetError(f"{_shown(part)}: expected the name of a split, or the path of a list inside {self.root}.")
            places = (self.root / "splits" / f"{part}.txt", self.root / f"{part}.txt")
            path = next((place for place in places if os.path.isfile(place)), None)
            if path is None:
                known = sorted(p.stem for p in (self.root / "splits").glob("*.txt"))
                raise DatasetError(
                    f"{places[0].parent / _shown(places[0].name)}: no such split; there are: {cut(', '.join(known)) or 'none'}."
                )
            for line, text in enumerate(read_text(path).split("\n"), start=1):
                if text.strip():
                    yield path, line, text.strip()

    def read(self, image_id: str) -> Image:
        """Read the :class:`scn_tf.data.images.Image` of an ID."""
        image = images.read_image(self.files[image_id], dims=self.description.dims, channels=self.description.channels)
        self.spacings[image_id] = image.spacing
        return image

    def truth_in_array(self, image_id: str, image: Image) -> Array:
        """Landmarks (N, d) of an ID in array pixels of its image, NaN where there is no point.

        Raises:
            DatasetError: a landmark is more than one image size outside, or most are outside, which means wrong units, frame or
                image size.
        """
        for rater in self.by_rater.values():  # a message names the table
            rater.truth_in_array(image_id, image)
        landmarks = geometry.apply(self.array_from_own(image), self.landmarks[image_id])
        with np.errstate(invalid="ignore"):
            far = ((landmarks < -image.size) | (landmarks > 2 * image.size)).any(axis=1)
            outside = ((landmarks < -0.5) | (landmarks > image.size - 0.5)).any(axis=1)
        present = np.isfinite(landmarks).all(axis=1)
        many = outside.sum() > max(present.sum() / 2, FEW_OUTSIDE)
        where = f"{self.table}, line {self.rows[image_id]}"
        if not far.any() and not many:
            return landmarks
        own, size = self.landmarks[image_id][present], " x ".join(map(str, image.size))
        coordinates = self.description.coordinates
        what = f"{outside.sum()} of the {present.sum()} landmarks of {_shown(image_id)} lie outside the image of {size} pixels"
        if hint := frames.likely_frame(image, own, coordinates):
            raise DatasetError(f"{where}: {what}. {hint}")
        if not many:
            number = int(np.flatnonzero(far)[0])
            raise DatasetError(
                f"{where}: landmark {_shown(self.description.names[number])} of {_shown(image_id)} lies far outside the image "
                f"(pixel {np.round(landmarks[number], 1).tolist()} in an image of {size} pixels). Are the coordinates {coordinates!r}, as "
                "dataset.yaml says? If the landmark is not in the image, write absent in its fields."
            )
        if coordinates == "physical":
            low, high = np.round(own.min(axis=0), 1).tolist(), np.round(own.max(axis=0), 1).tolist()
            raise DatasetError(
                f"{where}: {what}. The table has {low} to {high}; coordinates: physical are mm (LPS) in the frame of the image's header. "
                "If they belong to another image, correct them; if they are not in this one, write absent in their fields."
            )
        low, high = np.round(landmarks[present].min(axis=0), 1).tolist(), np.round(landmarks[present].max(axis=0), 1).tolist()
        raise DatasetError(
            f"{where}: {what}. They reach from {low} to {high}: were they set on a copy of another size? If they are rightly there, write "
            "absent in their fields."
        )

    def array_from_own(self, image: Image) -> Array:
        """Matrix from the set's own coordinates (file pixels or mm) to array pixels of an image."""
        return np.linalg.inv(image.own_from_array(self.description.coordinates))

    def pixel_size(self, image: Image) -> Array | None:
        """Pixel size (d,) in mm per array pixel, by ``spacing_mm`` or the header; None if neither states it."""
        if self.description.spacing_mm is None:
            return image.spacing
        return image.along_array_axes(self.description.spacing_mm)

    @functools.cached_property
    def unit(self) -> Literal["mm", "px"]:
        """Unit of errors: ``"mm"`` if the description or the header of the set's first image gives a spacing, else ``"px"``."""
        description = self.description
        known = description.normalization is not None and description.normalization.distance_mm is not None
        if description.spacing_mm or known or description.coordinates == "physical":
            return "mm"
        return "mm" if self.states_spacing else "px"

    @functools.cached_property
    def states_spacing(self) -> bool:
        """Whether the header of the set's first image gives a spacing."""
        return self.read(self._first).spacing is not None

    @property
    def _first(self) -> str:
        """ID of the first image that has a row. The folder may hold further images, which are ignored."""
        return next(image_id for image_id in self.files if image_id in self.landmarks)

    def mm_per_pixel(self, image_id: str, image: Image) -> Array | None:
        """Pixel size (d,) in mm per array pixel, or None if no spacing is known.

        The sources are, in this order: ``spacing_mm``, the known distance of two landmarks, the header.

        Raises:
            DatasetError: the two landmarks have no distance, or only one of this image and the set's first image states a pixel size.
        """
        spacing = self.pixel_size(image)
        rule = self.description.normalization
        if self.description.spacing_mm is None and rule is not None and rule.distance_mm is not None:
            first, second = geometry.apply(self.array_from_own(image), self.landmarks[image_id])[list(rule.landmarks)]
            distance = np.linalg.norm((first - second) * (spacing if spacing is not None else 1.0))
            if not distance > 0:
                raise DatasetError(
                    f"{self.table}, line {self.rows[image_id]}: landmarks {rule.landmarks[0]} and {rule.landmarks[1]} of "
                    f"{image_id} have no point, or one and the same; normalization needs their distance."
                )
            return (np.ones(self.description.dims) if spacing is None else spacing) * rule.distance_mm / distance
        if self.description.coordinates == "physical" and image.spacing is None:
            raise DatasetError(
                f"{self.files[image_id]}: states no pixel size, so it has no mm for coordinates: physical; use coordinates: pixel "
                "or a format that has a frame (DICOM, MetaImage, NIfTI, NRRD)."
            )
        if self.description.coordinates == "pixel" and (spacing is None) != (self.unit == "px"):
            states = {True: "states no pixel size", False: "states a pixel size"}
            raise DatasetError(
                f"{self.files[image_id]}: {states[spacing is None]}, but {self.files[self._first]} {states[spacing is not None]}: "
                "errors would be mm and pixels in one mean. If all pixels are of one size, set spacing_mm in dataset.yaml; "
                "else take one format that states it for all images."
            )
        return spacing


def warn_of_training_images(dataset: Dataset, split: str, ids: Sequence[str], trained: Iterable[str]) -> None:
    """Warn if IDs to be measured are also trained on: on purpose (``train+val``), or because lists overlap."""
    shared = sorted(set(ids) & set(trained), key=list(ids).index)
    if shared:
        warnings.warn(
            f"{dataset.root}: {len(shared)} of the {len(ids)} images of split {split} are, by the settings, trained on, too (the first: "
            f"{shared[0]}); their errors do not represent new images.",
            DataWarning,
            stacklevel=2,
        )


def _shown(name: object) -> str:
    """A user's name, short and in one line."""
    return cut(visible(str(name)), 80)


def open_dataset(root: PathName | None) -> Dataset:
    """Open a data set folder and check its description and table.

    Raises:
        DatasetError: the folder, ``dataset.yaml`` or the table is missing or malformed; the message names file and row.
    """
    if root is None:
        raise DatasetError("The model does not state the folder of its data set; name it with `data.root`.")
    root = Path(root)
    description = read_description(root / "dataset.yaml")
    tables = raters.read(root, description)
    found = raters.mean(tables) if description.raters else tables[""]
    files = _find_images(root / "images", description.dims)
    return Dataset(root, description, found.points, found.absent, found.rows, files, raters=tables if description.raters else {})


def _find_images(folder: Path, dims: int) -> dict[str, Path]:
    """Image files by ID. For volumes also folders, each with the slices of a DICOM series."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; expected the images of the data set.")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):  # macOS leaves ._hand01.png beside hand01.png
            continue
        if not images.is_image(path) and not (dims == 3 and images.is_series(path)):
            continue
        image_id = images.stem(path)
        if image_id in files:
            raise DatasetError(f"{path}: two images of the ID {image_id}, the other is {files[image_id].name}.")
        files[image_id] = path
    return files
