"""A finding of the check of a data set, and the row of a check."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from scn_tf.registry import Registry

if TYPE_CHECKING:
    from scn_tf.doctor.inspection import Inspection

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # worst first


class Found(NamedTuple):
    """What a check found.

    ``image``: ID, None for the whole set. ``landmark``: name, None for all of them. ``fix``: None for that of the check.
    """

    message: str
    image: str | None = None
    landmark: str | None = None
    fix: str | None = None


class Finding(NamedTuple):
    """One finding, as it is reported."""

    severity: Severity
    kind: str
    image: str | None
    landmark: str | None
    message: str
    fix: str


@dataclass(frozen=True)
class Check:
    """One row of the checks.

    Attributes:
        name: kind of its findings.
        severity: ``error``: a training fails or learns something wrong. ``warning``: likely a mistake. ``note``: worth a look.
        meaning: what a finding means, one sentence without a full stop.
        fix: command or edit that mends it, one or two sentences.
        find: gives the findings of an inspected data set.
        rank: place in lists; checks of one severity are sorted by it.
    """

    name: str
    severity: Severity
    meaning: str
    fix: str
    find: Callable[["Inspection"], Iterable[Found]]
    rank: int = 100


CHECKS = Registry("check", Check, home="scn_tf.doctor.checks", group="scn_tf.checks")


def register_check(row: Check) -> None:
    """Add a check for this program. Installed packages declare entry points in the group ``scn_tf.checks`` instead.

    Raises:
        ConfigError: the row is not a :class:`Check`, or its name is taken.
    """
    CHECKS.register(row)
