"""Findings as text for a terminal, and as JSON."""

import json
import textwrap
from collections.abc import Sequence
from itertools import groupby

from scn_tf.doctor.finding import CHECKS, SEVERITIES, Finding
from scn_tf.messages import cut, visible

EXAMPLES = 3  # findings of a kind that are shown
LONGEST = 300  # characters of one
INDENT = " " * 10


def as_json(findings: Sequence[Finding]) -> str:
    """JSON text: ``{"findings": [{"severity", "kind", "image", "landmark", "message", "fix"}, ...]}``, the worst first."""
    return json.dumps({"findings": [finding._asdict() for finding in findings]}, indent=1) + "\n"


def counts(findings: Sequence[Finding]) -> str:
    """``2 errors, 1 warning``."""
    numbers = [(severity, sum(finding.severity == severity for finding in findings)) for severity in SEVERITIES]
    return ", ".join(f"{number} {severity}{'s' if number > 1 else ''}" for severity, number in numbers if number)


def as_text(findings: Sequence[Finding], name: str, *, width: int = 100) -> str:
    """Lines for a terminal: each kind with its number, its first findings and the fix, the worst first.

    Args:
        findings: the worst first, those of a kind together.
        name: of the data set.
        width: characters of a line.
    """
    if not findings:
        return f"{name}: nothing found."
    parts = [f"{name}: {counts(findings)}."]
    for (severity, kind), group in groupby(findings, key=lambda finding: (finding.severity, finding.kind)):
        same = list(group)
        parts.append("")
        parts.append(
            f"{severity:8s}  {kind} ({len(same)}): {CHECKS[kind].meaning}." if kind in CHECKS else f"{severity:8s}  {kind} ({len(same)})"
        )
        for finding in same[:EXAMPLES]:
            parts += _wrapped(cut(visible(finding.message), LONGEST), width, INDENT)
        if len(same) > EXAMPLES:
            ids = [cut(visible(finding.image), 40) for finding in same[EXAMPLES:] if finding.image]
            listed = f": {', '.join(ids[:8])}{', ...' if len(ids) > 8 else ''}" if ids else ""
            parts += _wrapped(f"and {len(same) - EXAMPLES} more{listed}", width, INDENT)
        fixes = list(dict.fromkeys(finding.fix for finding in same))
        parts += _wrapped(f"Fix: {fixes[0]}" if len(fixes) == 1 else f"Fix: {CHECKS[kind].fix}", width, INDENT)
    return "\n".join(parts)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False, break_on_hyphens=False
    ) or [indent]
