"""Paired comparison of the errors of several systems on the same images."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scn_tf.errors import ConfigError
from scn_tf.messages import cut, visible
from scn_tf.scoring import resampling
from scn_tf.scoring.run_errors import RunErrors
from scn_tf.types import Array

WITHIN_MM, WITHIN_PERCENT = (2.0, 4.0), (1.0, 2.0)


class Pair(NamedTuple):
    """One figure of two systems, and their difference (second minus first) with its 95 % interval and p-values.

    ``p`` is of the sign-flip test over images, ``p_holm`` corrected for all pairs of the figure.
    """

    first: str
    second: str
    figure: str
    unit: str
    values: tuple[float, float]
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    images: int
    points: int


def aligned(runs: Mapping[str, RunErrors]) -> dict[str, RunErrors]:
    """Runs with images and landmarks in the order of the first.

    Raises:
        ConfigError: units, images or landmarks differ. The message names both tables, the difference and the fix.
    """
    (name, first), *others = runs.items()
    found = {name: first}
    for name, run in others:
        if run.unit != first.unit:
            raise ConfigError(
                f"{run.source}: has errors in {run.unit}, {first.source} in {first.unit}. Evaluate all runs on one data set with "
                "`data.root`, or set spacing_mm in the dataset.yaml that lacks it and evaluate again."
            )
        for what, own, other in (("image", run.ids, first.ids), ("landmark", run.landmarks, first.landmarks)):
            if set(own) != set(other):
                raise ConfigError(f"{run.source}: {_other(what, own, other, first.source)}. {FIX[what]}")
        places = [{name: number for number, name in enumerate(own)} for own in (run.ids, run.landmarks)]
        rows, columns = [places[0][name] for name in first.ids], [places[1][name] for name in first.landmarks]
        order = np.ix_(rows, columns)
        relative = None if run.relative is None else run.relative[order]
        found[name] = run._replace(ids=first.ids, landmarks=first.landmarks, points=run.points[order], relative=relative)
    return found


FIX = {
    "image": "Evaluate all runs on the same `split` of one data set (`data.root`).",
    "landmark": "Only models of the same landmarks can be compared.",
}


def _other(what: str, own: Sequence[str], other: Sequence[str], source: str) -> str:
    more, less = [name for name in own if name not in set(other)], [name for name in other if name not in set(own)]
    parts = [
        f"{len(names)} {what}s {verb} (such as {cut(visible(names[0]), 60)})"
        for names, verb in ((more, "that are not there"), (less, "fewer"))
        if names
    ]
    return f"is of other {what}s than {source}: {' and '.join(parts)}"


def pairs(runs: Mapping[str, RunErrors]) -> list[Pair]:
    """Every pair of systems: the image error, and shares of points within limits.

    Only points that both have count. Limits are in mm, or in percent of a length of the image where no mm are known.

    Args:
        runs: name -> errors, of :func:`aligned`.

    Raises:
        ConfigError: two systems have no point in common.
    """
    found: list[Pair] = []
    for (one, first), (other, second) in itertools.combinations(runs.items(), 2):
        found += _compared(one, first, other, second)
    corrected: dict[int, float] = {}
    for figure in dict.fromkeys(pair.figure for pair in found):
        numbers = [number for number, pair in enumerate(found) if pair.figure == figure]
        corrected |= dict(zip(numbers, resampling.holm([found[number].p for number in numbers]), strict=True))
    return [pair._replace(p_holm=corrected[number]) for number, pair in enumerate(found)]


def _compared(one: str, first: RunErrors, other: str, second: RunErrors) -> list[Pair]:
    """The figures of one pair; their corrected p-values are still missing."""
    errors = resampling.common(first.points, second.points)
    if not errors[0].size:
        raise ConfigError(f"{first.source} and {second.source}: have no point in common that both models were trained on.")
    images, points = len(errors[0]), int(np.isfinite(errors[0]).sum())
    means = np.nanmean(errors, axis=2)
    apart = means[1] - means[0]
    low, high = resampling.interval(apart)
    p = resampling.sign_flip(apart)
    values = float(means[0].mean()), float(means[1].mean())
    found = [Pair(one, other, "image error", first.unit, values, float(apart.mean()), low, high, p, p, images, points)]
    limits, unit = WITHIN_MM, "mm"
    if first.unit != "mm":
        if first.relative is None or second.relative is None:
            return found
        errors = resampling.common(first.relative, second.relative)
        limits, unit = WITHIN_PERCENT, "% of the image's reference"
        if not errors[0].size:
            return found
    counts = np.isfinite(errors[0]).sum(axis=1)
    for limit in limits:
        within = [100.0 * (np.isfinite(own) & (own < limit)).sum(axis=1) for own in errors]
        apart = within[1] - within[0]
        ((low, high),) = resampling.pooled_intervals(apart[:, None], counts)
        p = resampling.sign_flip(apart)
        values = float(within[0].sum() / counts.sum()), float(within[1].sum() / counts.sum())
        figure = f"points within {limit:g} {unit}"
        found.append(Pair(one, other, figure, "%", values, values[1] - values[0], low, high, p, p, len(counts), int(counts.sum())))
    return found


def overview(runs: Mapping[str, RunErrors]) -> list[tuple[object, ...]]:
    """Each system alone, as lines of a table with a head: mean image error with its interval, median and mean point error."""
    unit = next(iter(runs.values())).unit
    head = "run", "images", "points", f"image error ({unit})", "95 % from", "to", f"median point ({unit})", f"mean point ({unit})"
    lines: list[tuple[object, ...]] = [head]
    for name, run in runs.items():
        errors = run.points[np.isfinite(run.points).any(axis=1)]
        known: Array = errors[np.isfinite(errors)]
        means = np.nanmean(errors, axis=1)
        low, high = resampling.interval(means)
        numbers = (means.mean(), low, high, np.median(known), known.mean())
        lines.append((name, len(errors), known.size, *(f"{number:.3f}" if np.isfinite(number) else "" for number in numbers)))
    return lines


def rows(found: Sequence[Pair]) -> list[tuple[Any, ...]]:
    """Rows of ``comparison.csv`` with the head."""
    head = ("comparison", "figure", "unit", "first", "second", "difference", "low", "high", "p", "p_holm", "images", "points")
    lines: list[tuple[Any, ...]] = [head]
    for pair in found:
        numbers = (*pair.values, pair.difference, pair.low, pair.high, pair.p, pair.p_holm)
        named = f"{pair.second} minus {pair.first}", pair.figure, pair.unit
        lines.append((*named, *(f"{number:.6g}" if np.isfinite(number) else "" for number in numbers), pair.images, pair.points))
    return lines


def table(found: Sequence[Pair]) -> list[tuple[object, ...]]:
    """The pairs as lines of a table for readers, with a head."""
    lines: list[tuple[object, ...]] = [
        ("comparison", "figure", "first", "second", "difference", "95 % interval", "p", "p (Holm)"),
    ]
    for pair in found:
        first, second = (f"{value:.3f}" for value in pair.values)
        between = f"{pair.low:+.3f} to {pair.high:+.3f}" if np.isfinite(pair.low) else ""  # of a single image
        figure = f"{pair.figure} ({pair.unit})"
        lines.append(
            (f"{pair.second} minus {pair.first}", figure, first, second, f"{pair.difference:+.3f}", between, *_p(pair.p, pair.p_holm))
        )
    return lines


def _p(*values: float) -> list[str]:
    return ["< 0.001" if value < 0.001 else f"{value:.3f}" for value in values]


def per_landmark(runs: Mapping[str, RunErrors]) -> list[tuple[object, ...]]:
    """Mean error of each landmark in every system, as lines of a table with a head."""
    first = next(iter(runs.values()))
    lines: list[tuple[object, ...]] = [("landmark", *(f"{name} ({first.unit})" for name in runs))]
    for number, landmark in enumerate(first.landmarks):
        columns = [run.points[:, number][np.isfinite(run.points[:, number])] for run in runs.values()]
        lines.append((landmark, *(f"{column.mean():.3f}" if column.size else "" for column in columns)))
    return lines
