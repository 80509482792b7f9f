"""A data-set folder, read as far as it goes. What is wrong with it is collected, not raised."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scn_tf.data import images
from scn_tf.data.annotations import Annotations
from scn_tf.data.description import Description, bad_raters, read_description
from scn_tf.data.text import read_text
from scn_tf.doctor.finding import Found
from scn_tf.doctor.table import read_raters, read_table
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, visible
from scn_tf.storage import documents
from scn_tf.types import Array

REQUIRED = ("dims", "landmarks")  # keys of dataset.yaml without which no table can be read
MAX_FILES = 100_000


@dataclass
class Folder:
    """Contents of a data-set folder.

    Attributes:
        root: the folder.
        description: of ``dataset.yaml``, without its invalid keys. None if dimension or landmarks are unknown.
        landmarks: ID -> (N, d) in the set's own coordinates, NaN where there is no point.
        absent: ID -> (N,) bool, landmarks that are known not to be in the image.
        rows: ID -> line of the table.
        files: ID -> image file.
        splits: name -> IDs in order, as written.
        raters: name -> table, if the set has several raters; ``landmarks`` are then their means.
        problems: kind -> what was wrong on the way.
    """

    root: Path
    description: Description | None = None
    landmarks: dict[str, Array] = field(default_factory=dict)
    absent: dict[str, Array] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    splits: dict[str, list[str]] = field(default_factory=dict)
    raters: dict[str, Annotations] = field(default_factory=dict)
    problems: dict[str, list[Found]] = field(default_factory=dict)

    def report(self, kind: str, found: Found) -> None:
        """Keep a problem."""
        self.problems.setdefault(kind, []).append(found)

    @property
    def table(self) -> Path:
        """Path of the landmark table."""
        return self.root / (self.description.annotations if self.description else "landmarks.csv")

    @property
    def table_name(self) -> str:
        """Name of the table in the folder, for messages."""
        if self.raters:
            return "mean of the raters"
        return shown(self.description.annotations if self.description else "landmarks.csv")


def read_folder(root: Path) -> Folder:
    """Read description, table, splits and names of images. No image is read.

    Raises:
        DatasetError: there is no folder, or no ``dataset.yaml`` in it: nothing can be checked.
    """
    if not os.path.isdir(root):
        raise DatasetError(
            f"{visible(str(root))}: no such folder; expected a data set with dataset.yaml, images/, landmarks.csv and splits/."
        )
    folder = Folder(root)
    folder.description = _description(folder)
    _find_images(folder)
    if folder.description is not None:
        if folder.description.raters:
            read_raters(folder)
        else:
            read_table(folder)
    _read_splits(folder)
    return folder


def _description(folder: Folder) -> Description | None:
    """Description without the keys that are invalid, each of which is a problem."""
    path = folder.root / "dataset.yaml"
    if not os.path.isfile(path):
        read_description(path)  # raises
    try:
        return read_description(path)
    except DatasetError as error:
        folder.report("description", Found(str(error)))
    try:
        values = documents.read_yaml(path)
    except documents.DocumentError:
        return None
    return _without_invalid_keys(values) if isinstance(values, dict) else None


def _without_invalid_keys(values: dict[Any, Any]) -> Description | None:
    kept: dict[str, Any] = {key: values[key] for key in REQUIRED if key in values}
    kept["name"] = "unnamed"
    for key in (None, *Description.model_fields):
        if key in kept or (key is not None and key not in values):
            continue
        tried = kept if key is None else {**kept, key: values[key]}
        try:
            description = Description.model_validate(tried)
            _check_lengths(description)
        except ValueError:
            if key is None:
                return None
            continue
        kept = tried
    return description if (description := Description.model_validate(kept)) else None


def _check_lengths(description: Description) -> None:
    """Raise ValueError for what contradicts the number of landmarks or the dimension."""
    count = len(description.names)
    numbers = [*(description.normalization.landmarks if description.normalization else ()), *sum(description.flip_pairs, ())]
    spacing = description.spacing_mm
    if count < 1 or len(set(description.names)) < count or not all(0 <= number < count for number in numbers):
        raise ValueError("landmarks")
    if (spacing is not None and len(spacing) != description.dims) or ".." in Path(description.annotations).parts:
        raise ValueError("spacing_mm")
    if Path(description.annotations).is_absolute():
        raise ValueError("annotations")
    if bad_raters(description.raters):
        raise ValueError("raters")


def _find_images(folder: Folder) -> None:
    place = folder.root / "images"
    try:
        inside = sorted(path for path in place.iterdir() if not path.name.startswith("."))[:MAX_FILES]
    except OSError as error:
        folder.report("images_folder", Found(f"{place}: cannot be looked into ({error.strerror or error})."))
        return
    dims = folder.description.dims if folder.description else 3
    headers = {images.stem(path) for path in inside if path.name.lower().endswith((".mhd", ".nhdr", ".hdr"))}
    for path in inside:
        if not images.is_image(path) and not (dims == 3 and images.is_series(path)):
            if path.is_file() and images.stem(path).split(".")[0] not in {*headers, *(header.split(".")[0] for header in headers)}:
                folder.report("other_file", Found(f"images/{shown(path.name)}: is no image of a format that is read, and is ignored."))
            continue
        image_id = images.stem(path)
        if image_id in folder.files:
            message = f"images/{shown(path.name)}: two images of the ID {shown(image_id)}, the other is {folder.files[image_id].name}."
            folder.report("same_id", Found(message, image_id))
            continue
        folder.files[image_id] = path


def _read_splits(folder: Folder) -> None:
    for path in _lists(folder):
        try:
            lines = [text.strip() for text in read_text(path).split("\n")]
        except DatasetError as error:
            folder.report("split_file", Found(str(error)))
            continue
        ids: dict[str, int] = {}
        for line, image_id in enumerate(lines, start=1):
            if not image_id:
                continue
            if image_id in ids:
                message = f"splits/{path.name}, line {line}: {shown(image_id)} appears twice (first in line {ids[image_id]})."
                folder.report("listed_twice", Found(message, image_id))
                continue
            ids[image_id] = line
            if image_id not in folder.files and image_id not in folder.landmarks:
                hint = _meant(image_id, folder)
                folder.report("unknown_id", Found(f"splits/{path.name}, line {line}: unknown ID {shown(image_id)}.{hint}", image_id))
        folder.splits[path.stem] = list(ids)


def _meant(image_id: str, folder: Folder) -> str:
    bare = images.stem(image_id.strip("\"'").replace("\\", "/").rsplit("/", 1)[-1])
    name = bare if bare in folder.files else next((known for known in folder.files if known.lower() == bare.lower()), None)
    return f" Write {shown(name)}: an ID is the name of the image file without folder and ending." if name else ""


def _lists(folder: Folder) -> Iterator[Path]:
    place = folder.root / "splits"
    try:
        found = sorted(path for path in place.iterdir() if path.suffix == ".txt" and path.is_file())
    except OSError:
        found = []
    for name in ("train", "val"):
        if all(path.stem != name for path in found):
            folder.report("missing_split", Found(f"splits/{name}.txt: no such list; training uses the lists train and val."))
    yield from found


def shown(name: object) -> str:
    """A user's name, short and in one line."""
    return cut(visible(str(name)), 80)
