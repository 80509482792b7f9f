"""What a study compares: its file, and the runs that follow from it."""

import re
from pathlib import Path
from typing import NamedTuple

import pydantic

from scn_tf import config

Overrides = dict[str, object]


class Run(NamedTuple):
    """One training of a study: its place in it, and its configuration."""

    name: str
    system: str
    size: str
    fold: str
    seed: int
    config: config.Config


class Study(pydantic.BaseModel):
    """Contents of a study's file; docs/study.md shows one.

    ``systems``, ``sizes`` and ``folds`` are names with settings (``section.field: value``) laid over those of ``base``, in this
    order; in a text, ``{size}``, ``{fold}`` and ``{seed}`` stand for the run's.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
    base: Path
    settings: Overrides = {}
    systems: dict[str, Overrides] = pydantic.Field(min_length=1)
    sizes: dict[str, Overrides] | list[int] = pydantic.Field({"all": {}}, min_length=1)
    folds: dict[str, Overrides] | list[str] = pydantic.Field({"split": {}}, min_length=1)
    seeds: list[int] = pydantic.Field([0], min_length=1)

    @pydantic.field_validator("systems", "sizes", "folds", mode="before")
    @classmethod
    def _nothing_set(cls, value):
        # `SCN:` without anything behind it is what one writes for the base as it is.
        if isinstance(value, dict):
            return {str(name): {} if settings is None else settings for name, settings in value.items()}
        return value

    def runs(self, root=None):
        """All :class:`Run`, folds and seeds of a system together.

        Args:
            root: data set folder; the base's own if None.

        Raises:
            ConfigError: a setting that cannot be, with the run it belongs to.
        """
        base = config.read_yaml(self.base)
        sizes = {str(n): {"data.train_count": n} for n in self.sizes} if isinstance(self.sizes, list) else self.sizes
        folds = {name: {} for name in self.folds} if isinstance(self.folds, list) else self.folds
        found = []
        for size, by_size in sizes.items():
            for system, by_system in self.systems.items():
                for fold, by_fold in folds.items():
                    for seed in self.seeds:
                        name = "_".join(re.sub(r"[^\w.-]+", "-", part) for part in (system, size, fold, f"seed{seed}"))
                        laid = {**self.settings, **by_system, **by_size, **by_fold, "train.seed": seed}
                        if root is not None:
                            laid["data.root"] = str(root)
                        place = {"size": size, "fold": fold, "seed": seed}
                        laid = {field: _filled(value, place, name) for field, value in laid.items()}
                        settings = config.from_dict(config.override(base, laid), source=f"run {name}")
                        if settings.model.name == "segmentation":
                            raise config.ConfigError(
                                f"run {name}: model.name: segmentation finds no landmarks, a study compares their errors."
                            )
                        found.append(Run(name, system, size, fold, seed, settings))
        if len({run.name for run in found}) < len(found):
            raise config.ConfigError("Two runs of the study have the same name: names of systems, sizes and folds must differ in letters.")
        return found


def read_study(path):
    """:class:`Study` of a YAML file; ``base`` is relative to it.

    Raises:
        ConfigError: missing, malformed, or an unknown key.
    """
    path = Path(path)
    try:
        study = Study.model_validate(config.read_yaml(path))
    except pydantic.ValidationError as error:
        item = error.errors()[0]
        where = ".".join(map(str, item["loc"]))
        hint = config.nearest(where, list(Study.model_fields)) if item["type"] == "extra_forbidden" else ""
        raise config.ConfigError(f"{path}: {where}: {item['msg']}{hint}") from None
    return study.model_copy(update={"base": path.parent / study.base})


def _filled(value, place, name):
    if not isinstance(value, str):
        return value
    try:
        return value.format(**place)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise config.ConfigError(f"run {name}: {value!r}: only {{size}}, {{fold}} and {{seed}} can be filled in.") from None
