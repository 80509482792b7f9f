"""Found points against those of several raters, beside the distances between the raters."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scn_tf import geometry
from scn_tf.data.dataset import Dataset
from scn_tf.data.raters import count
from scn_tf.messages import cut, visible
from scn_tf.scoring import agreement
from scn_tf.types import Array

KEY = "raters"  # in the summary
AXES = "xyz"


class Rated(NamedTuple):
    """Points in an evaluation of a data set with R raters. Coordinates are those of the network's input, scaled to ``unit``.

    Fields:

    - ``names``: of the raters.
    - ``found``: (I, N, d) points of the model, NaN for untrained landmarks.
    - ``mean``: (I, N, d) mean of the raters, NaN where there is no point.
    - ``each``: (R, I, N, d) points of each rater, NaN where there is no point.
    """

    names: tuple[str, ...]
    found: Array
    mean: Array
    each: Array

    @property
    def others(self) -> Array:
        """Means (R, I, N, d) of the other raters, beside the points of a rater; NaN where this one or all others have no point."""
        known = np.isfinite(self.each)
        total, others = np.where(known, self.each, 0.0).sum(axis=0), known.sum(axis=0) - 1
        return np.where(known & (others > 0), (total - self.each) / np.maximum(others, 1), np.nan)


def rated(result: Mapping[str, Array], dataset: Dataset, ids: Sequence[str], trained: Array) -> Rated:
    """Points of model and raters.

    Args:
        result: of :func:`scn_tf.scoring.localization.localize`.
        dataset: with raters.
        ids: I IDs of the images.
        trained: (N,) bool. Points of other landmarks are left out.
    """
    scale = result["unit_per_pixel"][:, None]
    input_from_own = np.linalg.inv(result["own_from_input"].astype(float))
    own = [[rater.landmarks[image_id] for image_id in ids] for rater in dataset.by_rater.values()]
    each = [np.stack([geometry.apply(matrix, points) for matrix, points in zip(input_from_own, one, strict=True)]) for one in own]
    annotated = (result["annotated"] > 0)[..., None]
    kept = trained[:, None]
    return Rated(
        tuple(dataset.raters),
        np.where(kept, result["predicted"] * scale, np.nan),
        np.where(kept & annotated, result["landmarks"] * scale, np.nan),
        np.where(kept, np.stack(each) * scale, np.nan),
    )


def summarize(points: Rated, dataset: Dataset, ids: Sequence[str], names: Sequence[str], unit: str) -> dict[str, Any]:
    """The part ``raters`` of ``summary.json``. Lengths are in ``unit``.

    Args:
        points: of :func:`rated`.
        dataset, ids: as there.
        names: N landmark names.
        unit: ``"mm"`` or ``"px"``.

    Returns:
        ``points``: number of landmarks with a point of any rater, ``by_fewer``: of those that not every rater annotated. ``errors``:
        figures of the distances from the points of each rater, and from their ``mean``. ``spread`` and ``by_landmark``: see
        :func:`spread`. ``bland_altman``: per axis, differences of the model from the mean of the raters, and of each rater from the
        mean of the others; see :func:`scn_tf.scoring.agreement.figures`.
    """
    annotated, fewer = count(dataset, ids)
    errors = {name: _errors(_length(points.found - own)) for name, own in zip(points.names, points.each, strict=True)}
    return {
        "unit": unit,
        "points": annotated,
        "by_fewer": fewer,
        "errors": {"mean": _errors(_length(points.found - points.mean)), **errors},
        **spread(points, names),
        "bland_altman": {axis: _bland_altman(points, number, unit) for number, axis in enumerate(AXES[: points.found.shape[-1]])},
    }


def spread(points: Rated, names: Sequence[str]) -> dict[str, Any]:
    """Distances between raters, and how the model compares, of points that at least two raters set.

    The comparison is fair: the model takes the place of each rater in turn, and both are measured from the mean of the other raters.

    Returns:
        ``spread`` over all landmarks and ``by_landmark``, each with ``points`` (number); ``between_raters``: mean distance of two raters;
        ``rater_from_others`` and ``model_from_others``: mean distances from the mean of the other raters; ``within_percent`` and
        ``raters_within_percent``: shares of these distances, of the model and of the raters, that are at most ``between_raters`` of the
        landmark. All but ``points`` are None without such points. Each image counts alike, however many raters it has.
    """
    pairs = [_length(first - second) for first, second in itertools.combinations(points.each, 2)]
    between = _mean(np.stack(pairs), 0) if pairs else np.full(points.found.shape[:2], np.nan)
    limit = _mean(between, 0)  # (N,)
    rater, model = _length(points.each - points.others), _length(points.found - points.others)  # (R, I, N)
    maps = {
        "between_raters": between,
        "rater_from_others": _mean(rater, 0),
        "model_from_others": _mean(model, 0),
        "within_percent": _mean(_shares(model, limit), 0),
        "raters_within_percent": _mean(_shares(rater, limit), 0),
    }
    return {
        "spread": _figures(maps),
        "by_landmark": {name: _figures({key: values[:, number] for key, values in maps.items()}) for number, name in enumerate(names)},
    }


def differences(points: Rated, axis: int) -> tuple[Array, Array, Array]:
    """Along an axis: (P,) means of model and raters, (P,) model minus mean of the raters, (Q,) raters minus mean of the others."""
    difference = (points.found - points.mean)[..., axis]
    middle = (points.found + points.mean)[..., axis] / 2
    raters = (points.each - points.others)[..., axis]
    known = np.isfinite(difference)
    return middle[known], difference[known], raters[np.isfinite(raters)]


def lines(summary: Mapping[str, Any]) -> list[str]:
    """The figures as lines of text; none for a set without raters."""
    found = summary.get(KEY)
    if found is None:
        return []
    errors = "   ".join(f"{cut(visible(name), 30)} {_text(one['mean'])}" for name, one in found["errors"].items())
    own, unit = found["spread"], found["unit"]
    return [
        f"raters        mean error against each, {unit}:   {errors}",
        f"              two raters are {_text(own['between_raters'])} {unit} apart; from the mean of the others: a rater "
        f"{_text(own['rater_from_others'])}, the model {_text(own['model_from_others'])}",
    ]


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _length(offsets: Array) -> Array:
    return np.linalg.norm(offsets, axis=-1)


def _shares(distances: Array, limit: Array) -> Array:
    """100 where a distance is at most the limit of its landmark, 0 where it is larger, NaN where it is not known."""
    return np.where(np.isfinite(distances), 100.0 * (distances <= limit), np.nan)


def _mean(values: Array, axis: int) -> Array:
    """Mean of the finite values, NaN without any."""
    known = np.isfinite(values)
    number = known.sum(axis=axis)
    return np.where(number > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(number, 1), np.nan)


def _figures(maps: Mapping[str, Array]) -> dict[str, Any]:
    known = np.isfinite(maps["between_raters"])
    return {"points": int(known.sum()), **{name: float(values[known].mean()) if known.any() else None for name, values in maps.items()}}


def _errors(errors: Array) -> dict[str, Any]:
    known = errors[np.isfinite(errors)]
    values = (known.mean(), np.median(known), known.std()) if known.size else (None, None, None)
    figures = zip(("mean", "median", "sd"), values, strict=True)
    return {"points": int(known.size), **{name: None if value is None else float(value) for name, value in figures}}


def _bland_altman(points: Rated, axis: int, unit: str) -> dict[str, Any]:
    _, model, _ = differences(points, axis)
    raters = (points.each - points.others)[..., axis]
    each = {name: agreement.figures(own[np.isfinite(own)], unit) for name, own in zip(points.names, raters, strict=True)}
    return {"model": agreement.figures(model, unit), "raters": each}
