"""``dataset.yaml``: the description of a data set."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

import pydantic
from pydantic_core import ErrorDetails

from scn_tf import measurements
from scn_tf.config import MEAN, RANDOM, nearest, refuse_booleans
from scn_tf.data.annotations import ANNOTATIONS, Empty, Expected
from scn_tf.data.images import MAX_MM, MIN_MM
from scn_tf.errors import DatasetError
from scn_tf.messages import UNPRINTABLE, cut, short, visible
from scn_tf.storage import documents

MAX_LANDMARKS = 10_000
MAX_NAME = 200
MAX_RATERS = 100
Number = Annotated[int, pydantic.Field(ge=1, le=MAX_LANDMARKS)]
Millimetres = Annotated[float, pydantic.Field(ge=MIN_MM, le=MAX_MM)]


class Part(pydantic.BaseModel):
    """Base of the parts of a description: frozen, without unknown keys, NaN, or booleans as numbers."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    _no_booleans = pydantic.field_validator("*", mode="before")(refuse_booleans)


class Normalization(Part):
    """The distance of two landmarks (0-based numbers).

    With ``distance_mm``, it gives mm per pixel of each image. Without, errors are also reported relative to it.
    """

    landmarks: tuple[int, int]
    distance_mm: Millimetres | None = None


class Description(Part):
    """Contents of ``dataset.yaml``."""

    name: str
    dims: Literal[2, 3]
    landmarks: Number | tuple[str, ...]
    coordinates: Literal["pixel", "physical"] = "pixel"
    annotations: str = "landmarks.csv"
    annotation_format: str | None = None
    raters: dict[str, str] = pydantic.Field(default_factory=dict)
    empty: Empty | None = None
    spacing_mm: tuple[Millimetres, ...] | None = None
    normalization: Normalization | None = None
    channels: Literal[1, 3] = 1
    flip_pairs: tuple[tuple[int, int], ...] = ()
    labels: tuple[str, ...] = ()
    measurements: dict[str, str] = pydantic.Field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Landmark names; their 0-based numbers if the set has no names."""
        return self.landmarks if isinstance(self.landmarks, tuple) else tuple(map(str, range(self.landmarks)))

    @property
    def tables(self) -> tuple[str, ...]:
        """Landmark tables in the folder: one for each rater, else the only one."""
        return tuple(self.raters.values()) or (self.annotations,)

    @property
    def only_table(self) -> str:
        """The landmark table of a set without raters.

        Raises:
            DatasetError: there are raters.
        """
        if self.raters:
            raise DatasetError(
                f"dataset.yaml names the tables of {len(self.raters)} raters (raters), and here one is expected. Name the table of one "
                "of them itself, or make one of their means with scn-tf convert FOLDER TABLE.csv."
            )
        return self.annotations

    @property
    def expected(self) -> Expected:
        """What readers of the annotations need to know."""
        return Expected(self.names, self.dims, self.empty)

    @property
    def exchange(self) -> tuple[int, ...]:
        """Numbers (N,) of the landmarks' counterparts on the other side, from ``flip_pairs``.

        A landmark in no pair has its own number.
        """
        numbers = list(range(len(self.names)))
        for first, second in self.flip_pairs:
            numbers[first], numbers[second] = second, first
        return tuple(numbers)


def read_description(path: Path) -> Description:
    """Read the :class:`Description` of a ``dataset.yaml``.

    Raises:
        DatasetError: the file is missing or malformed; the message names the key.
    """
    if not os.path.isfile(path):  # pathlib's raises for a name that is too long
        advice = "scn-tf init makes one of images and annotations." if os.path.isdir(path.parent) else "Was it moved? Pass `data.root`."
        raise DatasetError(f"{path}: not found. A data set is a folder with dataset.yaml, images/, landmarks.csv and splits/. {advice}")
    try:
        values = documents.read_yaml(path)
    except documents.DocumentError as error:
        raise DatasetError(f"{path}: {error}.") from None
    if not isinstance(values, dict):
        raise DatasetError(f"{path}: expected keys and values (name: hands, dims: 2, ...), received {short(values)}.")
    try:
        description = Description.model_validate(values)
    except pydantic.ValidationError as error:
        raise DatasetError(f"{path}: {_explain(error.errors(include_url=False))}") from None
    if wrong := _mistake(description):
        raise DatasetError(f"{path}: {wrong}")
    return description


def _mistake(description: Description) -> str | None:
    """Sentence about fields of the right type with contradictory or invalid values; None if all are valid."""
    count, rule = len(description.names), description.normalization
    for key, names in (("landmarks", description.names), ("labels", description.labels)):
        if wrong := _bad_names(names):
            return f"{key}: {wrong}"
    if not 1 <= count <= MAX_LANDMARKS:
        return f"landmarks: expected at least one landmark and no name twice, at most {MAX_LANDMARKS}, received {count}."
    if wrong := _bad_names((description.name,)):
        return f"name: {wrong}"
    if wrong := _bad_place(description.annotations):
        return f"annotations: {wrong}"
    if wrong := bad_raters(description.raters):
        return f"raters: {wrong}"
    if description.annotation_format is not None and description.annotation_format not in ANNOTATIONS:
        return f"annotation_format: expected one of {', '.join(ANNOTATIONS)}, received {short(description.annotation_format, 80)}."
    spacing = description.spacing_mm
    if spacing is not None and len(spacing) != description.dims:
        return f"spacing_mm: expected {description.dims} positive numbers, received {short(list(spacing))}."
    if rule is not None and not (all(0 <= number < count for number in rule.landmarks) and rule.landmarks[0] != rule.landmarks[1]):
        return f"normalization.landmarks: expected two different numbers from 0 to {count - 1}, received {short(list(rule.landmarks))}."
    flipped = [number for pair in description.flip_pairs for number in pair]
    if not all(0 <= number < count for number in flipped) or len(set(flipped)) < len(flipped):
        pairs = short(list(map(list, description.flip_pairs)))
        return f"flip_pairs: expected numbers from 0 to {count - 1}, each in one pair, received {pairs}."
    if len(description.labels) > 256:
        return f"labels: expected at most 256, received {len(description.labels)}."
    try:
        measurements.read(description.measurements, description.names, description.dims)
    except ValueError as error:
        return f"measurements: {error}."
    return None


def _bad_names(names: Sequence[str]) -> str | None:
    for name in names:
        if not name.strip() or len(name) > MAX_NAME or UNPRINTABLE.search(name):
            return f"expected names in one line of 1 to {MAX_NAME} characters, received {short(name, 80)}."
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        return f"expected at least one landmark and no name twice, received {short(twice, 80)} twice."
    return None


def bad_raters(raters: Mapping[str, str]) -> str | None:
    """Reason why names or tables of raters are invalid; None if they are valid."""
    if len(raters) > MAX_RATERS:
        return f"expected at most {MAX_RATERS}, received {len(raters)}."
    if taken := {MEAN, RANDOM} & {*raters}:
        return f"{taken.pop()} is a value of data.rater and no name."
    if len({*raters.values()}) < len(raters):
        return "expected a table of its own for each rater, received one twice."
    reasons = (_bad_names(tuple(raters)), *map(_bad_place, raters.values()))
    return next((reason for reason in reasons if reason), None)


def _bad_place(text: str) -> str | None:
    """Reason why a path inside the data set is invalid on some system; None if it is valid."""
    parts = PurePosixPath(text.replace("\\", "/")).parts
    outside = PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive or text.startswith("\\") or ".." in parts
    if outside or not parts or UNPRINTABLE.search(text) or len(text) > 1000:
        return f"expected the path of a file inside the folder of the data set, received {short(text, 80)}."
    return None


def _explain(errors: Sequence[ErrorDetails]) -> str:
    """Line about the first mistake in a description. A misspelt key precedes the missing key that results from it."""
    item = next((item for item in errors if item["type"] == "extra_forbidden"), errors[0])
    key = ".".join(
        cut(visible(str(part)), 60) for part in item["loc"][: 2 if item["loc"][0] in ("normalization", "measurements", "raters") else 1]
    )
    if item["type"] == "extra_forbidden":
        model = Normalization if len(item["loc"]) > 1 else Description
        return f"{key}: unknown key{nearest(cut(str(item['loc'][-1]), 60), model.model_fields)}"
    if item["type"] == "missing":
        return f"{key}: is missing."
    message = item["msg"].removeprefix("Value error, ")
    if key == "landmarks":
        message = f"expected a number of landmarks from 1 to {MAX_LANDMARKS}, or a list of names (numbers and yes, no in quotation marks)"
    elif key.startswith("raters"):
        message = "expected names with tables (anna: landmarks_anna.csv; names of digits in quotation marks)"
    elif key.startswith("measurements"):
        message = "expected names with expressions (SNA: angle(S, N, A))"
    elif isinstance(item.get("input"), bool | int) and item["type"] == "string_type":
        message = "expected a text (put it in quotation marks)"
    return f"{key}: {message[0].lower()}{message[1:]}, received {short(item.get('input'), 80)}."
