"""The plan of a study: its file, and the runs derived from it."""

import itertools
import re
from pathlib import Path
from typing import NamedTuple

import pydantic

from scn_tf import config
from scn_tf.messages import cut, short, visible
from scn_tf.models import MODELS
from scn_tf.types import PathName

Overrides = dict[str, object]
Nested = dict[str, object]


class Run(NamedTuple):
    """One run of a study: its place in the study, and its configuration."""

    name: str
    system: str
    size: str
    fold: str
    seed: int
    config: config.Config


class Study(pydantic.BaseModel):
    """Contents of a study's file; docs/study.md shows one.

    ``systems``, ``sizes`` and ``folds`` are names with settings (``section.field: value``). They override those of ``base``, in
    this order. In texts, ``{size}``, ``{fold}`` and ``{seed}`` are replaced by those of the run. ``sizes_figure`` names the systems
    of the figure over sizes, all if None. ``base`` is a file, or the settings themselves.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
    base: Path | Nested
    settings: Overrides = {}
    systems: dict[str, Overrides] = pydantic.Field(min_length=1)
    sizes: dict[str, Overrides] = pydantic.Field({"all": {}}, min_length=1)
    folds: dict[str, Overrides] = pydantic.Field({"split": {}}, min_length=1)
    seeds: list[int] = pydantic.Field([0], min_length=1)
    sizes_figure: list[str] | None = pydantic.Field(None, min_length=1)

    @pydantic.field_validator("base", mode="before")
    @classmethod
    def _file_or_settings(cls, value: object) -> object:
        if not isinstance(value, str | Path | dict):
            raise ValueError(f"expected a file, or sections with settings, received {short(value)}")
        return value

    @pydantic.field_validator("systems", "sizes", "folds", mode="before")
    @classmethod
    def _nothing_set(cls, value: object) -> dict[str, object]:
        # `SCN:` without anything behind it is what one writes for the base as it is.
        if not isinstance(value, dict):
            raise ValueError(f"expected names with settings, received {short(value)}")
        return {str(name): {} if settings is None else settings for name, settings in value.items()}

    # The checks of a field run from the last to the first: lists become names with settings before they get to the one above.
    @pydantic.field_validator("sizes", mode="before")
    @classmethod
    def _numbers_of_images(cls, value: object) -> object:
        if not isinstance(value, list):
            return value
        if any(size != "all" and (isinstance(size, bool) or not isinstance(size, int)) for size in value):
            raise ValueError(f"expected numbers of training images or all, or names with settings, received {short(value)}")
        return {str(size): {"data.train_count": None if size == "all" else size} for size in value}

    @pydantic.field_validator("folds", mode="before")
    @classmethod
    def _names_of_folds(cls, value: object) -> object:
        return {str(name): {} for name in value} if isinstance(value, list) else value

    @pydantic.field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError(f"expected every seed once, received {short(value)}")
        return value

    @pydantic.model_validator(mode="after")
    def _figure_shows_known_systems(self) -> "Study":
        for name in self.sizes_figure or []:
            if name not in self.systems:
                raise ValueError(f"sizes_figure: {short(name, 60)} is not among the systems {cut(', '.join(self.systems))}")
        return self

    def runs(self, root: PathName | None = None, *, missing: str | None = None) -> list[Run]:
        """All runs. Folds and seeds of a system follow each other.

        Args:
            root: data set folder; the base's own if None.
            missing: ``"refuse"`` or ``"skip"`` for ``data.missing`` of every run; the study's setting if None.

        Raises:
            ConfigError: a setting is invalid; the message names its run.
        """
        base = self.base if isinstance(self.base, dict) else config.read_yaml(self.base)
        found: list[Run] = []
        alike: dict[tuple[str, str, str], str] = {}
        for (size, by_size), (system, by_system), (fold, by_fold), seed in itertools.product(
            self.sizes.items(), self.systems.items(), self.folds.items(), self.seeds
        ):
            name = "_".join(re.sub(r"[^\w.-]+", "-", part) for part in (system, size, fold, f"seed{seed}"))
            laid = {**self.settings, **by_system, **by_size, **by_fold, "train.seed": seed}
            place = {"size": size, "fold": fold, "seed": seed}
            laid = {field: _filled(value, place, name) for field, value in laid.items()}
            if root is not None:
                laid["data.root"] = str(root)
            if missing is not None:
                laid["data.missing"] = missing
            try:
                values = config.override(base, laid)
            except config.ConfigError as error:
                raise config.ConfigError(f"run {name}: {str(error).removeprefix('--')}") from None
            settings = config.from_dict(values, source=f"run {name}")
            if MODELS[settings.model.name].maps != "landmarks":
                raise config.ConfigError(
                    f"run {name}: model.name: {settings.model.name} finds no landmarks, a study compares their errors."
                )
            other = alike.setdefault((system, size, settings.to_yaml()), fold)
            if other != fold:  # their images would count twice
                raise config.ConfigError(
                    f"folds: {other} and {fold} have equal settings; give them different ones, "
                    "or write {fold} into data.train_split and data.val_split."
                )
            found.append(Run(name, system, size, fold, seed, settings))
        if len({run.name for run in found}) < len(found):
            raise config.ConfigError("Two runs of the study have the same name: names of systems, sizes and folds must differ in letters.")
        return found


def read_study(path: PathName) -> Study:
    """Read a study from a YAML file or a bundled name. Its ``base`` is settings, a file relative to it, or a bundled name.

    Raises:
        ConfigError: the file is missing or malformed, or has an unknown key.
    """
    path = config.locate(path, study=True)
    try:
        study = Study.model_validate(config.read_yaml(path))
    except pydantic.ValidationError as error:
        item = error.errors()[0]
        where = ".".join(cut(visible(str(part)), 60) for part in item["loc"])
        hint = config.nearest(where, list(Study.model_fields)) if item["type"] == "extra_forbidden" else ""
        place = f"{where}: " if where else ""  # a check of the whole study names the place itself
        raise config.ConfigError(f"{path}: {place}{cut(item['msg'].removeprefix('Value error, '), 300)}{hint}") from None
    if isinstance(study.base, dict):
        return study
    try:
        base = config.locate(study.base, beside=path.parent)
    except config.ConfigError as error:
        raise config.ConfigError(f"{path}: base: {error}") from None
    return study.model_copy(update={"base": base})


def _filled(value: object, place: dict[str, object], name: str) -> object:
    if not isinstance(value, str):
        return value
    try:
        return value.format(**place)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise config.ConfigError(f"run {name}: {short(value)}: only {{size}}, {{fold}} and {{seed}} can be filled in.") from None
