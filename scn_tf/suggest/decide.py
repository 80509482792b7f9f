"""Facts of data set and machine to settings, each with its reason."""

from scn_tf.config import Config
from scn_tf.suggest import augmentation, network, schedule
from scn_tf.suggest.case import Case, Decision, case_of
from scn_tf.suggest.machine import Machine
from scn_tf.suggest.measure import Facts


def decide(facts: Facts, machine: Machine, given: Config, named: frozenset[str]) -> tuple[Case, list[Decision]]:
    """Decide every setting that the user did not give.

    Args:
        facts: of the data set.
        machine: that trains.
        given: settings of the user, with defaults for the others.
        named: ``section.field`` of those that the user gave. A preset among them decides its section.

    Returns:
        what the decisions looked at, and the decisions in the order of a configuration.

    Raises:
        ValueError: see :func:`scn_tf.suggest.case.case_of`.
    """
    case = case_of(facts, machine, given, named)
    presets = tuple(f"{section}." for section in ("model", "train") if f"{section}.preset" in named)
    rules = [*network.decided(case), *augmentation.decided(case), *schedule.decided(case)]
    return case, [one for one in rules if one.name not in named and not one.name.startswith(presets or ("-",))]
