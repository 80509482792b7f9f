"""The folder format: ``dataset.yaml``, ``images/``, a landmark table and ``splits/``."""

import csv
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic
import yaml

from scn_tf import geometry
from scn_tf.data import images

FEW_OUTSIDE = 2  # so many landmarks may lie outside an image, even if they are most of it


class DatasetError(ValueError):
    """Something wrong with a data set; the message names file and row."""


class NoImageLeftError(DatasetError):
    """A split all of whose images are missing."""


class Normalization(pydantic.BaseModel):
    """mm per pixel of each image from the known distance of two landmarks (0-based)."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
    landmarks: tuple[int, int]
    distance_mm: float = pydantic.Field(gt=0)


class Description(pydantic.BaseModel):
    """Contents of ``dataset.yaml``."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
    name: str
    dims: Literal[2, 3]
    landmarks: int | tuple[str, ...]
    coordinates: Literal["pixel", "physical"] = "pixel"
    annotations: str = "landmarks.csv"
    spacing_mm: tuple[float, ...] | None = None
    normalization: Normalization | None = None
    channels: Literal[1, 3] = 1
    flip_pairs: tuple[tuple[int, int], ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def names(self):
        """Landmark names; their 0-based numbers where the set names none."""
        return self.landmarks if isinstance(self.landmarks, tuple) else tuple(map(str, range(self.landmarks)))


class DataWarning(UserWarning):
    """Work goes on, but the user should know; names file and row."""


@dataclass(frozen=True)
class Dataset:
    """An opened data set. Nothing of an image is read yet.

    Attributes:
        root: its folder.
        description: its ``dataset.yaml``.
        landmarks: ID -> (N, d) in the set's own coordinates, NaN where absent.
        rows: ID -> line of the table, for messages.
        files: ID -> image file.
    """

    root: Path
    description: Description
    landmarks: dict
    rows: dict = field(repr=False)
    files: dict = field(repr=False)

    @property
    def table(self):
        """Path of the landmark table."""
        return self.root / self.description.annotations

    def split(self, name, *, missing="refuse"):
        """IDs of ``splits/NAME.txt``, or of the list NAME (``.txt``) elsewhere in the set's folder, each with image and row.

        Args:
            name: ``val``, a path such as ``official/cv/set1/test``, or several joined: ``train+val``.
            missing: ``"refuse"`` images that are not there, or ``"skip"`` them with a warning that counts them.

        Raises:
            DatasetError: no such split, an unknown, doubled or unannotated ID, missing images.
            NoImageLeftError: all of its images are missing, and were to be skipped.
        """
        ids, absent = [], {}  # absent: ID -> what is missing
        for path, line, identity in self._lines(name):
            if identity in ids or identity in absent:
                raise DatasetError(f"{path}, line {line}: {identity} stands there twice.")
            if identity in self.files and identity not in self.landmarks:
                raise DatasetError(f"{path}, line {line}: {identity} has no row in {self.table}.")
            if identity in self.files:
                ids.append(identity)
            elif identity in self.landmarks:
                absent[identity] = f"{self.root / 'images' / identity}.*: missing image ({self.table}, line {self.rows[identity]})"
            else:
                absent[identity] = f"{path}, line {line}: unknown ID {identity}: neither in {self.table} nor in images/"
        if absent:
            message = next(iter(absent.values()))
            if len(absent) > 1:
                message += f"; {len(absent)} of the {len(absent) + len(ids)} images of split {name} are missing"
            if missing == "refuse":
                raise DatasetError(f"{message}. --data.missing skip goes on without.")
            if not ids:
                raise NoImageLeftError(f"{message}: none is left.")
            warnings.warn(f"{message}; going on with {len(ids)}.", DataWarning, stacklevel=2)
        if not ids:
            raise DatasetError(f"{self.root}: split {name} is empty.")
        return ids

    def drawn(self, name, count, *, seed, missing="refuse"):
        """``count`` IDs of a split, drawn by a seed, in the split's order; a larger count of the same seed holds a smaller one's.

        Args:
            name, missing: see :meth:`split`.
            count: None for all.
            seed: of the draw.

        Raises:
            DatasetError: as :meth:`split`, or fewer images than asked for.
        """
        ids = self.split(name, missing=missing)
        if count is None:
            return ids
        if count > len(ids):
            raise DatasetError(f"data.train_count: {count} images, but split {name} of {self.root} has {len(ids)}.")
        order = np.random.default_rng(seed).permutation(len(ids))
        return [ids[index] for index in sorted(order[:count])]

    def _lines(self, name):
        """(file, line, ID) of the lists that a split's name stands for."""
        for part in name.split("+"):
            # Files of an evaluation go into a folder of this name.
            if Path(part).is_absolute() or ".." in Path(part).parts:
                raise DatasetError(f"{part}: expected the name of a split, or the path of a list inside {self.root}.")
            places = (self.root / "splits" / f"{part}.txt", self.root / f"{part}.txt")
            path = next((place for place in places if place.is_file()), None)
            if path is None:
                known = sorted(p.stem for p in (self.root / "splits").glob("*.txt"))
                raise DatasetError(f"{places[0]}: no such split; there are: {', '.join(known) or 'none'}.")
            for line, text in enumerate(_read_text(path).splitlines(), start=1):
                if text.strip():
                    yield path, line, text.strip()

    def read(self, identity):
        """:class:`scn_tf.data.images.Image` of an ID."""
        return images.read_image(self.files[identity], dims=self.description.dims, channels=self.description.channels)

    def truth_in_array(self, identity, image):
        """Landmarks (N, d) of an ID in array pixels of its image, NaN where absent.

        Raises:
            DatasetError: a landmark more than one image size outside, or most of them outside: wrong units, frame or image size.
        """
        landmarks = geometry.apply(self.array_from_own(image), self.landmarks[identity])
        with np.errstate(invalid="ignore"):
            far = ((landmarks < -image.size) | (landmarks > 2 * image.size)).any(axis=1)
            outside = ((landmarks < -0.5) | (landmarks > image.size - 0.5)).any(axis=1)
        if far.any():
            number = int(np.flatnonzero(far)[0])
            raise DatasetError(
                f"{self.table}, line {self.rows[identity]}: landmark {self.description.names[number]} of {identity} lies far "
                f"outside the image ({np.round(landmarks[number], 1).tolist()} in an image of {image.size.tolist()} pixels): "
                f"are the coordinates {self.description.coordinates!r}, as dataset.yaml says?"
            )
        present = np.isfinite(landmarks).all(axis=1)
        if outside.sum() > max(present.sum() / 2, FEW_OUTSIDE):
            raise DatasetError(
                f"{self.table}, line {self.rows[identity]}: {outside.sum()} of the {present.sum()} landmarks of {identity} lie outside the "
                f"image of {image.size.tolist()} pixels: were they set on a copy of another size? If they are rightly there, leave their "
                "fields empty."
            )
        return landmarks

    def array_from_own(self, image):
        """Matrix from the set's own coordinates (file pixels or mm) to array pixels of an image."""
        own_from_array = image.physical_from_array if self.description.coordinates == "physical" else image.file_from_array
        return np.linalg.inv(own_from_array)

    def pixel_size(self, image):
        """(d,) mm per array pixel by ``spacing_mm`` or the header; None where neither states it."""
        if self.description.spacing_mm is None:
            return image.spacing
        return image.along_array_axes(self.description.spacing_mm)

    def mm_per_pixel(self, identity, image):
        """(d,) mm per array pixel, or None where no spacing is known.

        By ``spacing_mm``, by the known distance of two landmarks, by the header, in this order.
        """
        spacing = self.pixel_size(image)
        rule = self.description.normalization
        if self.description.spacing_mm is None and rule is not None:
            first, second = geometry.apply(self.array_from_own(image), self.landmarks[identity])[list(rule.landmarks)]
            distance = np.linalg.norm((first - second) * (spacing if spacing is not None else 1.0))
            if not distance > 0:
                raise DatasetError(
                    f"{self.table}, line {self.rows[identity]}: landmarks {rule.landmarks[0]} and {rule.landmarks[1]} of "
                    f"{identity} are absent or the same, normalization needs their distance."
                )
            return (np.ones(self.description.dims) if spacing is None else spacing) * rule.distance_mm / distance
        return spacing


def check_fits_model(dataset, metadata):
    """Raise :class:`DatasetError` if a model's metadata name another dimension or number of landmarks."""
    description = dataset.description
    if (description.dims, len(description.names)) != (metadata["dims"], len(metadata["landmarks"])):
        raise DatasetError(
            f"{dataset.root}: {len(description.names)} landmarks in {description.dims}D, but the model finds "
            f"{len(metadata['landmarks'])} in {metadata['dims']}D."
        )


def open_dataset(root):
    """Open a data set folder and check its description and table.

    Raises:
        DatasetError: no folder, a missing or malformed ``dataset.yaml`` or table; names file and row.
    """
    if root is None:
        raise DatasetError("The model does not say where its data set lies; name the folder with --data.root.")
    root = Path(root)
    description = _read_description(root / "dataset.yaml")
    table = root / description.annotations
    landmarks, rows = _read_table(table, len(description.names), description.dims)
    return Dataset(root, description, landmarks, rows, _find_images(root / "images"))


def _read_text(path):
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: is no UTF-8 text.") from None


def _read_description(path):
    if not path.is_file():
        raise DatasetError(f"{path}: not found. A data set is a folder with dataset.yaml, images/, landmarks.csv and splits/.")
    try:
        values = yaml.safe_load(_read_text(path))
    except yaml.YAMLError as error:
        raise DatasetError(f"{path}: is no valid YAML ({' '.join(str(error).split())}).") from None
    try:
        description = Description.model_validate(values)
    except pydantic.ValidationError as error:
        item = error.errors()[0]
        where = ".".join(str(part) for part in item["loc"])
        raise DatasetError(f"{path}: {where}: {item['msg']}, received {item.get('input')!r}.") from None
    count = len(description.names)
    if count < 1 or len(set(description.names)) < count:
        raise DatasetError(f"{path}: landmarks: expected at least one landmark and no name twice.")
    spacing = description.spacing_mm
    if spacing is not None and (len(spacing) != description.dims or min(spacing) <= 0):
        raise DatasetError(f"{path}: spacing_mm: expected {description.dims} positive numbers, received {list(spacing)}.")
    rule = description.normalization
    if rule is not None and not all(0 <= number < count for number in rule.landmarks):
        raise DatasetError(f"{path}: normalization.landmarks: expected numbers from 0 to {count - 1}, received {list(rule.landmarks)}.")
    return description


def _read_table(path, count, dims):
    landmarks, rows = {}, {}
    for line, row in enumerate(csv.reader(_read_text(path).splitlines()), start=1):
        if not any(cell.strip() for cell in row):
            continue
        identity, values = row[0].strip(), row[1:]
        if len(values) != count * dims:
            raise DatasetError(
                f"{path}, line {line} ({identity}): expected {count * dims} values ({count} landmarks x {dims}), received {len(values)}."
            )
        if identity in landmarks:
            raise DatasetError(f"{path}, line {line}: {identity} stands there twice (first in line {rows[identity]}).")
        try:
            numbers = np.array([float(value) if value.strip() else np.nan for value in values]).reshape(count, dims)
        except ValueError as error:
            raise DatasetError(f"{path}, line {line} ({identity}): {error}.") from None
        # Half a point is no point; an infinite one neither.
        numbers[~np.isfinite(numbers).all(axis=1)] = np.nan
        landmarks[identity], rows[identity] = numbers, line
    if not landmarks:
        raise DatasetError(f"{path}: the table is empty.")
    return landmarks, rows


def _find_images(folder):
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; the images of a data set lie there.")
    files = {}
    for path in sorted(folder.iterdir()):
        if not images.is_image(path):
            continue
        identity = images.stem(path)
        if identity in files:
            raise DatasetError(f"{path}: two images of the ID {identity}, the other is {files[identity].name}.")
        files[identity] = path
    return files
