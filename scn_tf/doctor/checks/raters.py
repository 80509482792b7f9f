"""Tables of several raters beside each other: missing rows, one table twice, exchanged names, points far from those of the others."""

import itertools
from collections.abc import Iterator

import numpy as np

from scn_tf.doctor.finding import Check, Found
from scn_tf.doctor.folder import shown
from scn_tf.doctor.inspection import Inspection
from scn_tf.types import Array

FEW = 3  # missing rows that are named one by one
MIN_IMAGES = 6  # fewer have no usual distances
FAR = 12.0  # times the usual distance of a rater from the others, at the same landmark
SAME = 0.9  # share of equal points with which two tables are one
TELLING = 5.0  # standard deviations by which the usual differences of two raters tell who is who


def _points(inspection: Inspection) -> tuple[list[str], list[str], Array]:
    """Names, IDs and points (R, I, N, d) of the raters, NaN where there is no point."""
    tables, ids = inspection.folder.raters, [*inspection.folder.landmarks]
    shape = next(iter(inspection.folder.landmarks.values())).shape if ids else (0, 0)
    unknown = np.full(shape, np.nan)
    return [*tables], ids, np.array([[table.points.get(image_id, unknown) for image_id in ids] for table in tables.values()])


def _missing_rows(inspection: Inspection) -> Iterator[Found]:
    for name, table in inspection.folder.raters.items():
        missing = [image_id for image_id in inspection.folder.landmarks if image_id not in table.points]
        if len(missing) > FEW:
            yield Found(f"{shown(name)}: has no row for {len(missing)} of the {len(inspection.folder.landmarks)} images.")
            continue
        for image_id in missing:
            yield Found(f"{shown(name)}: has no row for {shown(image_id)}, which another rater annotated.", image_id)


def _same_table(inspection: Inspection) -> Iterator[Found]:
    names, _, points = _points(inspection)
    for first, second in itertools.combinations(range(len(names)), 2):
        both = np.isfinite(points[first] + points[second]).all(axis=-1)
        if both.any() and (points[first] == points[second]).all(axis=-1)[both].mean() >= SAME:
            yield Found(f"{shown(names[first])} and {shown(names[second])}: nearly all points are equal.")


def _exchanged(inspection: Inspection) -> Iterator[Found]:
    """Images in which two raters differ as usual, with the opposite sign. Raters without habits of their own cannot be distinguished."""
    names, ids, points = _points(inspection)
    for first, second in itertools.combinations(range(len(names)), 2):
        difference = (points[first] - points[second]).reshape(len(ids), -1)
        known = np.isfinite(difference)
        usual = known.sum(axis=0) >= MIN_IMAGES
        if not usual.any():
            continue
        difference, known = difference[:, usual], known[:, usual]
        middle = np.nanmedian(difference, axis=0)
        spread = np.maximum(1.4826 * np.nanmedian(np.abs(difference - middle), axis=0), 1e-9)
        habit = middle / spread
        seen = np.where(known, np.clip(difference / spread, -FAR, FAR), 0.0)
        expected = np.sqrt((known * habit**2).sum(axis=1))  # standard deviations between both cases, if landmarks are independent
        found = (seen * habit).sum(axis=1) / np.maximum(expected, 1e-9)
        for number in np.flatnonzero((expected >= TELLING) & (found < -expected / 2)):
            both = f"{shown(names[first])} and {shown(names[second])}"
            yield Found(f"{shown(ids[number])}: the points of {both} seem to be exchanged.", ids[number])


def _outliers(inspection: Inspection) -> Iterator[Found]:
    """Points far from the mean of the other raters. Of two raters alone, none can be named."""
    names, ids, points = _points(inspection)
    if len(ids) < MIN_IMAGES or len(names) < 2:
        return
    known = np.isfinite(points).all(axis=-1)
    enough = known.sum(axis=0) >= 2
    middle = np.full(points.shape[1:], np.nan)
    middle[enough] = np.nanmedian(points[:, enough], axis=0)
    away = np.linalg.norm(points - middle, axis=-1)  # (R, I, N)
    for number in range(away.shape[2]):
        own = away[:, :, number]
        shared = np.isfinite(own)
        if shared.any(axis=0).sum() < MIN_IMAGES:
            continue
        usual = float(np.median(own[shared & (own > 0)])) if (own[shared] > 0).any() else 0.0
        for image in np.flatnonzero((np.where(shared, own, 0.0) > FAR * max(usual, 1e-9)).any(axis=0)):
            raters = np.flatnonzero(shared[:, image])
            far = [int(np.nanargmax(own[:, image]))] if len(raters) > 2 else raters.tolist()
            who = " and ".join(shown(names[rater]) for rater in far)
            how = f"{np.nanmax(own[:, image]) / max(usual, 1e-9):.0f} times as far as usual"
            what = "lie apart" if len(far) > 1 else "lies apart from the other raters"
            yield Found(f"{shown(ids[image])}: {inspection.landmark(number)} of {who} {what}, {how}.", ids[image], inspection.names[number])


MISSING = Check(
    "rater_missing", "note", "a rater has no row for an image that another rater annotated",
    "If the rater saw it, add the row. Else nothing needs to be done: means and comparisons leave the rater out there.",
    _missing_rows, rank=93,
)  # fmt: skip
SAME_TABLE = Check(
    "raters_same", "warning", "two raters have the same points, so that their spread is too small",
    "Remove one of the two from raters in dataset.yaml, or put the right table there.", _same_table, rank=26,
)  # fmt: skip
EXCHANGED = Check(
    "raters_exchanged", "warning", "the points of two raters seem to be exchanged in an image",
    "Exchange the two rows, if that is so.", _exchanged, rank=27,
)  # fmt: skip
OUTLIER = Check(
    "rater_outlier", "warning", "a landmark of one rater lies far from those of the others",
    "Look at the image. Correct the point, or leave its fields empty.", _outliers, rank=28,
)  # fmt: skip
