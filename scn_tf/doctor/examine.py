"""All checks on one data set: findings, worst first."""

from pathlib import Path

from scn_tf.doctor.finding import CHECKS, SEVERITIES, Finding
from scn_tf.doctor.inspection import Inspection, Memory, inspect


def examine(root: Path, *, memory: Memory | None = None, progress: bool = False) -> tuple[list[Finding], Inspection]:
    """Inspect a data-set folder and run every check.

    Args:
        root, memory, progress: see :func:`scn_tf.doctor.inspection.inspect`.

    Returns:
        (findings, the worst first; what was inspected).

    Raises:
        DatasetError: there is no folder, or no ``dataset.yaml`` in it: nothing can be checked.
    """
    inspection = inspect(root, memory=memory, progress=progress)
    return findings(inspection), inspection


def findings(inspection: Inspection) -> list[Finding]:
    """Findings of every check, the worst first."""
    found: list[tuple[int, int, Finding]] = []
    for row in CHECKS.values():
        for message, image, landmark, fix in row.find(inspection):
            finding = Finding(row.severity, row.name, image, landmark, message.strip(), fix or row.fix)
            found.append((SEVERITIES.index(row.severity), row.rank, finding))
    return [finding for _, _, finding in sorted(found, key=lambda item: item[:2])]
