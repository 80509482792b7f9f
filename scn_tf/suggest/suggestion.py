"""Settings for a data set and a machine, from the user's own and decisions: lines to print, YAML, and the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from scn_tf import config
from scn_tf.config import Config, ConfigError
from scn_tf.environment import speed
from scn_tf.messages import visible
from scn_tf.models import MODELS
from scn_tf.storage.files import counted
from scn_tf.suggest import memory
from scn_tf.suggest.case import MINUTES, Case, Decision, shown
from scn_tf.suggest.decide import decide
from scn_tf.suggest.machine import Machine, this_machine
from scn_tf.suggest.measure import Facts, measure


@dataclass(frozen=True)
class Suggestion:
    """Settings with their reasons.

    Attributes:
        values: nested dict of all settings that are given or decided.
        decisions: in the order of a configuration; none for systems without heatmaps.
        head: lines on time, machine and data.
    """

    values: dict[str, Any]
    decisions: list[Decision]
    head: list[str]

    @property
    def config(self) -> Config:
        """The configuration, not yet resolved."""
        return config.from_dict(self.values, source="decided settings")

    @property
    def text(self) -> str:
        """One line for each decision below those on time, machine and data."""
        return "\n".join([*self.head, *(f"  {one}" for one in self.decisions)])

    def to_yaml(self) -> str:
        """A configuration with reasons as comments, from which a training has the same settings."""
        lines = [f"# {line}" for line in self.head]
        reasons = {one.name: one.reason for one in self.decisions}
        for section, fields in self.values.items():
            lines.append(f"{section}:")
            for name, value in fields.items():
                text = yaml.safe_dump([value], default_flow_style=True, width=10_000, allow_unicode=True).strip()[1:-1]
                reason = reasons.get(f"{section}.{name}")
                lines.append(f"  {name}: {text}" + (f"  # {reason}" if reason else ""))
        return "\n".join(lines) + "\n"


def suggest(values: Mapping[str, Any], *, machine: Machine | None = None) -> Suggestion:
    """Measure a data set and the machine, and decide the settings that are not given.

    Args:
        values: nested dict of the settings that the user gave, ``data.root`` among them. They are kept, and the others follow them.
        machine: that trains; None: measure this one.

    Raises:
        ConfigError: a given setting is invalid.
        DatasetError, ImageError: the data set cannot be used; the message names file and row.
    """
    given = config.from_dict(values)
    named = frozenset(f"{section}.{name}" for section, fields in values.items() for name in fields or {})
    speed.use_threads(speed.kept())  # while TensorFlow has not computed yet
    facts = measure(given.data, seed=given.train.seed)
    own = {section: dict(fields or {}) for section, fields in values.items()}
    own["data"]["root"] = str(facts.root)
    if not MODELS[given.model.name].has_heatmaps:
        line = f"Settings are decided for networks that find landmarks; model.name {given.model.name} keeps its preset"
        return Suggestion(own, [], [line])
    size = given.model.image_size
    if size is not None and len(size) != facts.dims:
        return Suggestion(
            own, [], [f"{visible(str(facts.root))}: model.image_size does not fit {facts.dims}D images, so nothing was decided"]
        )
    long = "train.epochs" not in named and 60 * (given.train.minutes or MINUTES) >= speed.LONG
    precision = given.train.precision if machine else speed.precision(given.train.precision, facts.dims, measure=long)
    try:
        case, decisions = decide(facts, machine or this_machine(precision), given, named)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return Suggestion(_merged(own, decisions), decisions, _head(case))


def _merged(own: dict[str, Any], decisions: list[Decision]) -> dict[str, Any]:
    """Given settings and decisions, sections in the order of a configuration."""
    found = {section: dict(own.get(section, {})) for section in Config.model_fields}
    for one in decisions:
        section, name = one.name.split(".")
        found[section][name] = list(one.value) if isinstance(one.value, tuple) else one.value
    return {section: fields for section, fields in found.items() if fields}


def _head(case: Case) -> list[str]:
    """Lines on time, machine and data."""
    facts, plan = case.facts, case.plan
    if case.limits.epochs is not None:
        time = counted(case.limits.epochs, "epoch")
    elif "train.minutes" not in case.named:
        time = f"{MINUTES:g} minutes, the default"
    else:
        time = "any time" if case.given.train.minutes is None else f"{case.given.train.minutes:g} minutes"
    about = memory.in_words(plan.bytes + memory.PROGRAM)
    lines = [f"Settings for {visible(str(facts.root))}: {time}, on {case.machine}; the training takes about {about}"]
    size = " x ".join(f"{side:.0f}" for side in facts.size)
    lines.append(
        f"Measured {facts.sampled} of {facts.training} training images: {size} pixels, {facts.landmarks} landmarks, "
        f"a shape is {shown(float(f'{facts.shapes.diagonal:.3g}'))} {facts.unit} across"
    )
    return lines + _doubts(facts, case)


def _doubts(facts: Facts, case: Case) -> list[str]:
    """Lines on what could not be measured or does not fit."""
    lines = []
    if not facts.shapes.posed:
        lines.append("Too few images show the same landmarks to measure poses: the augmentation keeps its defaults")
    if case.plan.bytes + memory.PROGRAM > memory.SHARE * case.machine.memory:
        lines.append("Memory may not suffice, even for the smallest network")
    return lines
