"""What a model file says of itself: which keys it must have, and of what kind. A stranger's file may say anything."""

from typing import Annotated, Literal

import pydantic

from scn_tf import config
from scn_tf.data.pixels import ASPECT
from scn_tf.messages import cut, visible

Millimetres = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
READ = {"data": (), "model": ("name", "image_size", "spacing_mm"), "heatmap": ("decoder",)}  # of its settings


class Data(pydantic.BaseModel):
    """Of :func:`scn_tf.data.fingerprint.short`."""

    normalization: dict | None
    training: dict
    validation: dict


class Statement(pydantic.BaseModel):
    """Keys of the metadata; files of earlier versions lack those with a default, and later ones may have more."""

    model_config = pydantic.ConfigDict(extra="ignore")

    name: str
    dims: Literal[2, 3]
    channels: pydantic.StrictInt
    landmarks: list[str]
    coordinates: Literal["pixel", "physical"]
    labels: list[str]
    unit: Literal["mm", "px"]
    spacing_mm: list[Millimetres] | None
    config: dict[str, dict]
    untrained: list[str] = []
    members: list[dict[str, dict]] = []
    peaks: list[float] = []
    validation: dict | None = None
    data: Data | None = None
    aspect: Literal["fixed", "header", "square"] = pydantic.Field("square", alias=ASPECT)


def mistake(metadata: object) -> str | None:
    """What is wrong with the metadata of a model file, a few words; None if all is well."""
    try:
        found = Statement.model_validate(metadata)
        for settings in (found.config, *found.members):
            config.from_dict(settings, source="settings").resolved(found.dims)
    except pydantic.ValidationError as error:
        item = error.errors(include_url=False)[0]
        return cut(visible(f"{'.'.join(map(str, item['loc'][:2]))}: {item['msg']}"))
    except (ValueError, TypeError, KeyError) as error:
        return cut(visible(str(error)))
    if not found.landmarks or len(set(found.landmarks)) < len(found.landmarks):
        return "landmarks: none, or a name twice"
    if found.channels not in (1, 3):
        return f"channels: {found.channels}"
    if not set(found.untrained) <= {*found.landmarks, *found.labels}:
        return "untrained: names that are no landmarks or labels"
    if found.spacing_mm is not None and len(found.spacing_mm) != found.dims:
        return f"spacing_mm: {len(found.spacing_mm)} numbers for {found.dims} dimensions"
    absent = [f"config.{section}.{name}" for section, names in READ.items() for name in names if name not in found.config.get(section, {})]
    absent += ["data of the settings"] * any("data" not in settings for settings in (found.config, *found.members))
    return f"{absent[0]}: is missing" if absent else None
