"""A decision with its reason, and what decisions look at: facts, machine, the user's settings, the plan of network and time."""

from dataclasses import dataclass

from scn_tf.config import Config
from scn_tf.suggest import layout
from scn_tf.suggest.accuracy import useful_epochs
from scn_tf.suggest.machine import Machine
from scn_tf.suggest.measure import Facts
from scn_tf.suggest.plan import Limits, Plan, choose

MINUTES = 30.0  # of a training, if the user names no time
UNLIMITED = 120.0  # minutes to plan with where the user wants no limit
GPU_BATCHES = (1, 2, 4, 8)
# Variation of sizes in mm over that relative to the image, up to which inputs have a spacing. 2D images are often seen without one.
ALIKE = {2: 0.8, 3: 1.1}
MUCH_LARGER = 1.5  # the largest image over the usual one, from which inputs of one spacing would be mostly empty


@dataclass(frozen=True)
class Decision:
    """One setting: its ``section.field``, its value, and the reason as a sentence without its full stop."""

    name: str
    value: object
    reason: str

    def __str__(self) -> str:
        return f"{self.name} = {shown(self.value)}: {self.reason}"


def shown(value: object) -> str:
    """A value as a user writes it: ``[352, 256]``, ``0.25``, ``none``."""
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(list(value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Case:
    """What a decision may look at.

    Attributes:
        facts: of the data set.
        machine: that trains.
        given: settings of the user, with defaults for the others.
        named: ``section.field`` of those that the user gave.
        spacing: why inputs have a spacing, or have none.
        limits: time and batches.
        plan: network and expected training.
    """

    facts: Facts
    machine: Machine
    given: Config
    named: frozenset[str]
    spacing: str
    limits: Limits
    plan: Plan

    @property
    def steps(self) -> float:
        """Images that the training is expected to see."""
        return self.plan.epochs * self.limits.images


def case_of(facts: Facts, machine: Machine, given: Config, named: frozenset[str]) -> Case:
    """Plan network, batch size and time.

    Args:
        facts: of the data set.
        machine: that trains.
        given: settings of the user, with defaults for the others.
        named: ``section.field`` of those that the user gave.

    Raises:
        ValueError: the user's section ``model`` names a preset that does not fit its other values.
    """
    train = given.train
    kept = "train.preset" in named
    epochs = train.epochs if kept or "train.epochs" in named else None
    time = train.minutes or (UNLIMITED if "train.minutes" in named else MINUTES)
    batches = [train.batch_size] if kept or "train.batch_size" in named else GPU_BATCHES if machine.gpu else [1]
    model = given.model.resolved(facts.dims) if "model.preset" in named else given.model
    with_spacing, why = spacing(facts)
    layouts = list(layout.layouts(facts, model, with_spacing=with_spacing and not {"model.spacing_mm", "model.preset"} & named))
    for batch_size in batches:
        limits = Limits(time, epochs, facts.training, min(batch_size, facts.training))
        plan = choose(layouts, facts, machine, limits)
        if plan.fitting >= useful_epochs(facts.training):
            break
    return Case(facts, machine, given, named, why, limits, plan)


def spacing(facts: Facts) -> tuple[bool, str]:
    """Whether all inputs have the same mm per pixel instead of each image filling its input, and why."""
    shapes = facts.shapes
    if not facts.spacing:
        return False, "image files state no pixel size, so each image fills the input"
    wide = max(big / usual for big, usual in zip(facts.largest, facts.extent, strict=True))
    if wide > MUCH_LARGER:
        return False, f"the largest image is {wide:.1f} times the usual one, so each image fills the input"
    if shapes.posed and shapes.scale > ALIKE[facts.dims] * facts.scale_in_image:
        return False, "sizes of shapes do not vary less in mm than relative to their image, so each image fills the input"
    return True, "image files state their pixel size, and the same for all keeps shapes alike"
