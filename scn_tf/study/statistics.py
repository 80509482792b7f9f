"""Figures of a system from the errors of its runs, with confidence intervals."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.errors import ConfigError
from scn_tf.scoring.resampling import common, interval
from scn_tf.scoring.run_errors import RunErrors, read_run
from scn_tf.types import Array, PathName

RADII = (2.0, 2.5, 3.0, 4.0, 10.0)
PERCENT = (0.5, 1.0, 2.0, 5.0)  # of a length of the image, where no mm are known


class Errors(NamedTuple):
    """Errors of a system with one training size: ``points`` (S, I, N) over ``seeds``, images of all folds and landmarks, NaN if absent.

    ``relative`` (S, I, N) are errors in percent of a length of the image. It is None if ``unit`` is mm or a table lacks them.
    """

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    points: Array
    unit: str
    relative: Array | None = None

    @property
    def images(self) -> Array:
        """Image-specific error (Payer et al. 2019, eq. 8), mean over the landmarks of an image: (S, I)."""
        return np.nanmean(self.points, axis=-1)


def read_errors(path: PathName) -> tuple[list[str], Array, str]:
    """(ids, errors (I, N), unit) of an ``errors.csv``."""
    return read_run(path)[:3]


def collect(runs: Mapping[tuple[str, int], PathName | RunErrors]) -> Errors | None:
    """:class:`Errors` of the runs of one system and size.

    Args:
        runs: dict (fold, seed) -> errors, or the path of an ``errors.csv``, which need not exist. Seeds that lack a fold are left
            out, and so are images without annotated landmarks.

    Returns:
        None if no seed has all folds.

    Raises:
        ConfigError: the runs of a fold were validated on different images, or as in :func:`scn_tf.scoring.run_errors.read_run`.
    """
    folds = list(dict.fromkeys(fold for fold, _ in runs))
    seeds = list(dict.fromkeys(seed for _, seed in runs))
    done = {key for key, run in runs.items() if isinstance(run, RunErrors) or Path(run).is_file()}
    # One that has no images with one seed (a list of its own for each) is not among the runs.
    whole = [seed for seed in seeds if all((fold, seed) in done for fold in folds)]
    if not whole:
        return None
    read = {key: run if isinstance(run, RunErrors) else read_run(run) for key, run in runs.items() if key[1] in whole}
    for fold, seed in read:
        first, second = (read[fold, s] for s in (whole[0], seed))
        if first.ids != second.ids or first.points.shape != second.points.shape:
            raise ConfigError(f"{first.source} and {second.source}: not the same images; seeds of a fold must be judged on one split.")
    ids = [f"{fold}/{image_id}" for fold in folds for image_id in read[fold, whole[0]].ids]
    points = np.stack([np.concatenate([read[fold, seed].points for fold in folds]) for seed in whole])
    # With one seed an image may have only landmarks that no training image showed.
    kept = np.isfinite(points).any(axis=2).all(axis=0)
    relative = None
    if all(run.relative is not None for run in read.values()):
        relative = np.stack([np.concatenate([read[fold, seed].relative for fold in folds]) for seed in whole])[:, kept]
    return Errors(tuple(whole), tuple(np.array(ids)[kept].tolist()), points[:, kept], read[folds[0], whole[0]].unit, relative)


def figures(errors: Errors) -> dict[str, float]:
    """Dict of the figures of :class:`Errors`. Counts of points and outliers are means over the seeds, with all folds together."""
    points = errors.points[np.isfinite(errors.points)]
    low, high = interval(errors.images.mean(axis=0))
    by_seed = errors.images.mean(axis=1)
    seeds = len(by_seed)
    return {
        "seeds": seeds,
        "images": len(errors.ids),
        "points": round(points.size / seeds),
        "pe_mean": points.mean(),
        "pe_std": points.std(),
        "pe_median": np.median(points),
        "ipe_mean": errors.images.mean(),
        "ipe_low": low,
        "ipe_high": high,
        "seed_std": by_seed.std(ddof=1) if seeds > 1 else np.nan,
        **(_by_radius(points, seeds) if errors.unit == "mm" else _by_share(errors.relative)),
    }


def _by_radius(points: Array, seeds: int) -> dict[str, float]:
    return {
        **{f"sdr_{radius:g}": 100.0 * (points < radius).mean() for radius in RADII},
        **{f"outliers_{radius:g}": (points >= radius).sum() / seeds for radius in (2.0, 4.0, 10.0)},
    }


def _by_share(relative: Array | None) -> dict[str, float]:
    """Mean relative error and shares within fractions of a length of the image. Pixels of differently sized images are not comparable."""
    values = np.empty(0) if relative is None else relative[np.isfinite(relative)]
    known = values.size > 0
    shares = {f"pck_{limit:g}": 100.0 * (values < limit).mean() if known else np.nan for limit in PERCENT}
    return {"nme_percent": values.mean() if known else np.nan, **shares}


def difference(errors: Errors, reference: Errors) -> dict[str, float] | None:
    """Paired comparison of (errors - reference) per image, on the images and seeds that both have.

    Returns:
        dict. ``mean``: mean difference of errors averaged over the seeds. ``low`` and ``high``: its 95 % bootstrap interval over
        the images, which covers other images, not other trainings. ``least`` and ``most``: smallest and largest mean of a single
        seed. None without common images or seeds.
    """
    ids, seeds = (
        [key for key in own if key in set(other)] for own, other in ((errors.ids, reference.ids), (errors.seeds, reference.seeds))
    )
    if not ids or not seeds:
        return None
    first, second = (
        e.points[np.ix_([e.seeds.index(seed) for seed in seeds], [e.ids.index(image_id) for image_id in ids])] for e in (errors, reference)
    )
    if first.shape == second.shape:  # on the landmarks that both have: one may have been trained without some of them
        first, second = common(first, second)
        if not first.size:
            return None
    apart = np.nanmean(first, axis=-1) - np.nanmean(second, axis=-1)
    low, high = interval(apart.mean(axis=0))
    by_seed = apart.mean(axis=1)
    return {"mean": apart.mean(), "low": low, "high": high, "least": by_seed.min(), "most": by_seed.max()}
