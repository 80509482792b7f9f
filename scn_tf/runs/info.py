"""The facts in a model file, read once into a :class:`ModelInfo`. Files from other sources may contain anything."""

from typing import Annotated, Any, Literal

import numpy as np
import pydantic
import pydantic_core

from scn_tf import config as configs
from scn_tf import measurements
from scn_tf.config import Config
from scn_tf.data import pixels
from scn_tf.errors import CheckpointError
from scn_tf.messages import cut, visible
from scn_tf.models import MODELS
from scn_tf.presence import known
from scn_tf.storage import ownership
from scn_tf.types import Array, PathName
from scn_tf.uncertainty.calibration import Calibration

ENTRY = ownership.METADATA.decode()  # name under which every form of a model carries this as JSON
READ = {"data": (), "model": ("name", "image_size", "spacing_mm"), "heatmap": ("decoder",)}  # settings that every file must have
# An absent key and an empty value mean the same.
WRITTEN_IF_ANY = ("measurements", "data", "validation", "peaks", "members", "quantize", "calibration")


def _data(value: dict[str, Any]) -> dict[str, Any]:
    """Fingerprint as :func:`scn_tf.data.fingerprint.short` writes it."""
    for name in ("normalization", "training", "validation"):
        if name not in value:
            raise pydantic_core.PydanticCustomError("missing", "{field} is missing", {"field": name})
        if not isinstance(value[name], dict) and (value[name] is not None or name != "normalization"):
            raise pydantic_core.PydanticCustomError("dict_type", "{field} should be a valid dictionary", {"field": name})
    return value


def _settings(value: object) -> object:
    """Configuration from nested dicts, with the messages of :mod:`scn_tf.config`.

    A configuration from a file remembers which fields the file has, since earlier versions wrote fewer. Any other is written whole.
    """
    if isinstance(value, Config):
        return configs.from_dict(value.model_dump(), source="settings")
    if not isinstance(value, dict) or not all(isinstance(section, dict) for section in value.values()):
        raise pydantic_core.PydanticCustomError("dict_type", "Input should be a valid dictionary")
    return configs.from_dict(value, source="settings")


Settings = Annotated[Config, pydantic.BeforeValidator(_settings)]
DataFacts = Annotated[dict[str, Any], pydantic.AfterValidator(_data)]
Millimetres = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class ModelInfo(pydantic.BaseModel):
    """A model's names, units and settings: all facts that prediction, evaluation and serving need.

    Files of earlier versions lack keys of fields with a default. Additional keys of later versions are kept unchanged. Fields:

    * ``version``: version of scn_tf that wrote the model. ``name``: name of the data set.
    * ``dims``: 2 or 3. ``channels``: channels of an image, 1 or 3.
    * ``landmarks``: N names, in the model's order. ``labels``: names of a label map's values, background first.
    * ``coordinates``: coordinates of landmarks in a file. ``unit``: unit of errors. ``spacing_mm``: (d,) mm per pixel x, y[, z] of
      every image if ``dataset.yaml`` states it, else None.
    * ``untrained``: landmarks or labels that no training image shows.
    * ``measurements``: name -> expression, as ``dataset.yaml`` states them (:mod:`scn_tf.measurements`).
    * ``aspect``: known shape of pixels, see :func:`scn_tf.data.pixels.aspect`.
    * ``config``: settings; for an ensemble, those of its largest network. ``members``: settings of all networks of an ensemble.
    * ``data``: fingerprint of the training data. ``validation``: epoch and error of the kept weights.
    * ``peaks``: heights of the targets, (N,) or (1,). ``quantize``: of TFLite files.
    * ``calibration``: measured errors, None if there are none (:mod:`scn_tf.uncertainty`).
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    version: str = pydantic.Field("", validation_alias="scn_tf")
    name: str
    dims: Literal[2, 3]
    channels: pydantic.StrictInt
    landmarks: tuple[str, ...]
    coordinates: Literal["pixel", "physical"]
    labels: tuple[str, ...]
    unit: Literal["mm", "px"]
    spacing_mm: tuple[Millimetres, ...] | None
    untrained: tuple[str, ...] = ()
    measurements: dict[str, str] = pydantic.Field(default_factory=dict)
    aspect: pixels.Aspect = pydantic.Field(pixels.SQUARE, validation_alias="pixel_aspect")
    config: Settings
    data: DataFacts | None = None
    validation: dict[str, Any] | None = None
    peaks: tuple[float, ...] = ()
    members: tuple[Settings, ...] = ()
    quantize: str | None = None
    calibration: Calibration | None = None

    @classmethod
    def from_json(cls, values: object) -> "ModelInfo":
        """The facts in a file's JSON.

        Raises:
            ValueError: a key is missing or invalid; the message names it in a few words.
        """
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            item = error.errors(include_url=False)[0]
            if item["type"] == "value_error":
                raise ValueError(cut(visible(str(item["ctx"]["error"])))) from None
            words = [".".join(map(str, item["loc"][:2])), item["msg"].replace("tuple", "list")]  # JSON has lists
            raise ValueError(cut(visible(": ".join(filter(None, words))))) from None
        except (TypeError, KeyError) as error:
            raise ValueError(cut(visible(str(error)))) from None

    def to_json(self) -> dict[str, Any]:
        """The facts as JSON for a file. :meth:`from_json` restores an equal object."""
        found = {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
        found = {name: value for name, value in found.items() if value or name not in WRITTEN_IF_ANY}
        keys = {name: field.validation_alias or name for name, field in type(self).model_fields.items()}
        return {str(keys[name]): _plain(value) for name, value in found.items()} | (self.model_extra or {})

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "ModelInfo":
        for settings in (self.config, *self.members):
            settings.resolved(self.dims)
        if not self.landmarks or len(set(self.landmarks)) < len(self.landmarks):
            raise ValueError("landmarks: none, or a name twice")
        if self.channels not in (1, 3):
            raise ValueError(f"channels: {self.channels}")
        if not set(self.untrained) <= {*self.landmarks, *self.labels}:
            raise ValueError("untrained: names that are no landmarks or labels")
        if self.spacing_mm is not None and len(self.spacing_mm) != self.dims:
            raise ValueError(f"spacing_mm: {len(self.spacing_mm)} numbers for {self.dims} dimensions")
        try:
            measurements.read(self.measurements, self.landmarks, self.dims)
        except ValueError as error:
            raise ValueError(f"measurements: {error}") from None
        if self.calibration is not None:
            self._check_calibration(self.calibration)
        if absent := _absent(self.config, self.members):
            raise ValueError(f"{absent}: is missing")
        return self

    def _check_calibration(self, calibration: Calibration) -> None:
        if len(calibration.offsets) != len(self.landmarks):
            raise ValueError(f"calibration: of {len(calibration.offsets)} landmarks")
        if calibration.ellipses and len(calibration.ellipses[0]) != self.dims**2:
            raise ValueError(f"calibration: ellipses: of {len(calibration.ellipses[0])} numbers for {self.dims} dimensions")
        if calibration.places is not None and len(calibration.places.reference[0]) != self.dims:
            raise ValueError(f"calibration: places: of {len(calibration.places.reference[0])} dimensions, expected {self.dims}")
        if calibration.decoder != self.config.heatmap.decoder:
            raise ValueError(f"calibration: of heatmap.decoder {calibration.decoder}, the settings say {self.config.heatmap.decoder}")

    @property
    def image_size(self) -> tuple[int, ...]:
        """([D,] H, W) of the network's input."""
        return known(self.config.model.image_size)

    @property
    def maps(self) -> tuple[str, ...]:
        """Name of each output channel of the network: landmarks, or labels of label maps."""
        return self.labels if self.finds_labels else self.landmarks

    @property
    def finds_labels(self) -> bool:
        """Whether the network finds label maps instead of landmarks."""
        return MODELS[self.config.model.name].maps == "labels"

    @property
    def networks(self) -> tuple[Config, ...]:
        """Settings of the network, or of all networks of an ensemble."""
        return self.members or (self.config,)

    @property
    def trained(self) -> Array:
        """(N,) bool: whether training images showed each landmark, as far as the file says."""
        return np.array([name not in self.untrained for name in self.landmarks])

    @property
    def needs_spacing(self) -> bool:
        """Whether an image without a pixel size would be prepared differently from the training images."""
        return self.aspect == pixels.HEADER and self.spacing_mm is None

    @property
    def why_spacing(self) -> str | None:
        """Reason why the model cannot use an image without a pixel size; None if it can."""
        if self.needs_spacing:
            return pixels.WHY
        millimetres = self.config.model.spacing_mm
        return None if millimetres is None else f"The model sees images at {millimetres:g} mm per pixel (model.spacing_mm)"

    def public(self) -> "ModelInfo":
        """Facts for an exported file: all but the folders of images and the address of a service."""
        changes: dict[str, Any] = {"config": _without_root(self.config)}
        if self.members:
            changes["members"] = tuple(map(_without_root, self.members))
        return self.model_copy(update=changes)


def read(values: object, path: PathName) -> ModelInfo:
    """:class:`ModelInfo` of the JSON in a model file.

    Raises:
        CheckpointError: a key is missing or invalid.
    """
    try:
        return ModelInfo.from_json(values)
    except ValueError as error:
        raise CheckpointError(f"{path}: is damaged: its facts are incomplete ({error}).") from None


def _absent(settings: Config, members: tuple[Config, ...]) -> str | None:
    """First setting that a file lacks although results depend on it. The reading version would fill in its own default."""
    for section, names in READ.items():
        written = getattr(settings, section).model_fields_set if section in settings.model_fields_set else set()
        for name in names:
            if name not in written:
                return f"config.{section}.{name}"
    return "data of the settings" if any("data" not in one.model_fields_set for one in (settings, *members)) else None


def _without_root(settings: Config) -> Config:
    return settings.model_copy(update={"data": settings.data.model_copy(update={"root": None, "service": None})})


def _plain(value: Any) -> Any:
    """Convert a value to JSON types."""
    if isinstance(value, Config):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Calibration):
        return value.model_dump(mode="json")
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
