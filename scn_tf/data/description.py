"""``dataset.yaml``: what a data set says of itself."""

from typing import Literal

import pydantic
import yaml

from scn_tf.config import nearest
from scn_tf.data.errors import DatasetError


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


def read_description(path):
    """:class:`Description` of a ``dataset.yaml``.

    Raises:
        DatasetError: missing or malformed; names the key.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: not found. A data set is a folder with dataset.yaml, images/, landmarks.csv and splits/.")
    try:
        values = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise DatasetError(f"{path}: is no valid YAML ({' '.join(str(error).split())}).") from None
    try:
        description = Description.model_validate(values)
    except pydantic.ValidationError as error:
        raise DatasetError(f"{path}: {_explain(error.errors())}") from None
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


def _explain(errors):
    """One line about the first of a description's mistakes; a misspelt key comes before the one that is missing without it."""
    item = next((item for item in errors if item["type"] == "extra_forbidden"), errors[0])
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        model = Normalization if len(item["loc"]) > 1 else Description
        return f"{where}: unknown key{nearest(str(item['loc'][-1]), model.model_fields)}"
    if item["type"] == "missing":
        return f"{where}: is missing."
    return f"{where}: {item['msg']}, received {item.get('input')!r}."


def read_text(path):
    """Text of a file of a data set.

    Raises:
        DatasetError: missing, unreadable, no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: is no UTF-8 text.") from None
