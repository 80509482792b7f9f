"""Choice of input and width: the network that promises the smallest error in the given time and memory."""

from collections.abc import Iterable
from dataclasses import dataclass

from scn_tf.suggest import memory
from scn_tf.suggest.accuracy import FINE_ENOUGH, relative_error, useful_epochs
from scn_tf.suggest.cost import seconds
from scn_tf.suggest.layout import Layout
from scn_tf.suggest.machine import Machine
from scn_tf.suggest.measure import Facts

START_SECONDS = 10.0  # of a training before its first step: TensorFlow, graphs, images
BUSY = 0.93  # share of the rest that steps take; validations and files take the others
AS_GOOD = 1.005  # of networks whose expected errors differ by less, the cheapest is taken
SEPARATE = 4.0  # network pixels that neighbouring landmarks should be apart


@dataclass(frozen=True)
class Limits:
    """What a training may take.

    Attributes:
        minutes: wall-clock time to plan with.
        epochs: number of epochs, if the user gave one.
        images: number of training images.
        batch_size: images per step.
    """

    minutes: float
    epochs: int | None
    images: int
    batch_size: int = 1

    @property
    def seconds(self) -> float:
        """Time for steps."""
        return max(BUSY * (60 * self.minutes - START_SECONDS), 0.25 * 60 * self.minutes)


@dataclass(frozen=True)
class Plan:
    """A network with what is expected of its training.

    Attributes:
        layout: the network and its input.
        image_seconds: of one image in a training step.
        fitting: epochs that fit into the time.
        epochs: expected number of epochs: those that fit, at most those that are useful or given.
        error: expected error over the smallest possible.
        bytes: memory of a step and the prepared images.
        too_large: whether finer or wider networks were left out for lack of memory.
    """

    layout: Layout
    image_seconds: float
    fitting: float
    epochs: float
    error: float
    bytes: float
    too_large: bool = False


def choose(layouts: Iterable[Layout], facts: Facts, machine: Machine, limits: Limits) -> Plan:
    """The plan with the smallest expected error that fits into memory; of equally good ones the cheapest."""
    plans = [plan(layout, facts, machine, limits) for layout in layouts]
    room = memory.SHARE * machine.memory
    fitting = [one for one in plans if one.bytes + memory.PROGRAM <= room]
    if not fitting:
        smallest = min(plans, key=lambda one: one.bytes)
        return _marked(smallest, len(plans) > 1)
    if limits.epochs is not None:  # the time of given epochs depends on the network alone
        fitting = [one for one in fitting if one.fitting >= limits.epochs] or [min(fitting, key=lambda one: one.image_seconds)]
    least = min(one.error for one in fitting)
    found = min((one for one in fitting if one.error <= AS_GOOD * least), key=lambda one: one.image_seconds)
    return _marked(found, any(one.error < found.error / AS_GOOD for one in plans if one.bytes + memory.PROGRAM > room))


def plan(layout: Layout, facts: Facts, machine: Machine, limits: Limits) -> Plan:
    """What to expect of one network."""
    image_seconds = seconds(layout.shape, machine, limits.batch_size)
    fitting = limits.seconds / (image_seconds * limits.images)
    epochs = min(fitting, useful_epochs(limits.images)) if limits.epochs is None else float(limits.epochs)
    error = relative_error(
        across=layout.across,
        filters=layout.shape.filters,
        steps=epochs * limits.images / limits.batch_size**0.5,
        images=limits.images,
        dims=facts.dims,
        most=max(FINE_ENOUGH, SEPARATE / max(facts.shapes.closest, 1e-3)),
    )
    taken = memory.of_step(layout.shape, batch_size=limits.batch_size, precision=machine.precision)
    cache = memory.of_cache(layout.shape, channels=facts.channels, images=facts.training + facts.validation)
    kept = cache if cache <= memory.CACHE_SHARE * machine.memory else 0.0
    return Plan(layout, image_seconds, fitting, epochs, error, (0.0 if machine.gpu else taken) + kept)


def _marked(found: Plan, too_large: bool) -> Plan:
    return Plan(found.layout, found.image_seconds, found.fitting, found.epochs, found.error, found.bytes, too_large)
