"""Why the points of one image do not fit: each suspicious image is tried with the usual mistakes undone.

Two witnesses are asked. The shape of the points is compared with the set's. The surroundings of the points are compared with those in
the other images. A mistake counts if undoing it makes both witnesses content, or the one that has something to say.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scn_tf import geometry, shapes
from scn_tf.data import evidence
from scn_tf.doctor import surroundings
from scn_tf.doctor.undoing import Cause, Undone, tries
from scn_tf.types import Array

if TYPE_CHECKING:
    from scn_tf.doctor.inspection import Inspection

TELLING = 0.3  # usual agreement of surroundings below which they say nothing
LOW, UNLIKE = 5.0, 0.15  # robust deviations, and at least so much, below the usual agreement: suspicious
HALF = 0.6  # of the usual agreement: points that reach less stand on something else
GAIN, FACTOR = 0.15, 1.25  # that undoing a mistake must win
ODD = 3.0  # median distance from the usual shape, in usual distances, and root mean square of those from predicted places
CONTENT = 2.2  # of both: a usual shape
WORSE = 0.05  # of agreement that a better shape may cost
TURNED, SCALED, POSE = 0.6, 0.35, 7.0  # radians and logarithm of a factor, and robust deviations, beyond which a pose is unusual
OWNER_GAIN, NEAR = 0.2, 0.85  # that another image's points must win, and reach of the usual agreement


@dataclass(frozen=True)
class Witnesses:
    """What shape and surroundings say of every image.

    Attributes:
        agreement: (I,) mean agreement of the surroundings. ``usual``: its median, 0 if it says nothing. ``low``: below it, suspicious.
        misfit: (I,) distance from the usual shape, NaN if unknown. ``root``: (I,) from where the landmarks predict each other.
        angle, scale: (I,) robust deviations of the pose beyond the usual; 0 is usual.
    """

    agreement: Array
    usual: float
    low: float
    misfit: Array
    root: Array
    angle: Array
    scale: Array
    log_scale: Array


def explain(inspection: "Inspection") -> dict[str, Cause]:
    """ID -> likely mistake, for the images whose points do not fit as a whole."""
    if not inspection.ids:
        return {}
    witnesses = _ask(inspection)
    found: dict[str, Cause] = {}
    for number, image_id in enumerate(inspection.ids):
        if cause := _cause(inspection, witnesses, number):
            found[image_id] = cause
    return found


def shifted_rows(inspection: "Inspection") -> tuple[int, float, float] | None:
    """Whether all images have the points of the next row (1) or the previous one (-1), with the agreement as stated and then.

    None: there is no evidence of it.
    """
    ids, templates = inspection.ids, inspection.templates
    if templates is None or len(ids) < evidence.MIN_IMAGES or inspection.better_frame is not None:
        return None
    chosen = range(min(len(ids), evidence.MAX_IMAGES))
    stated = float(np.mean(evidence.correlation(templates.patches[list(chosen)])))
    for shift in (1, -1):
        patches = []
        for number in chosen:
            one = inspection.examples[number]
            own = inspection.folder.landmarks[ids[(number - shift) % len(ids)]]
            points = geometry.apply(np.linalg.inv(one["own_from_input"]), np.where(np.isfinite(own), own, -1e6))
            patches.append(surroundings.patches_at({**one, "annotated": np.isfinite(own).all(axis=1)}, points))
        agreement = float(np.mean(evidence.correlation(np.stack(patches))))
        if agreement >= max(evidence.AGREES, stated + evidence.GAIN, evidence.FACTOR * stated):
            return shift, stated, agreement
    return None


def _ask(inspection: "Inspection") -> Witnesses:
    count, templates, usual_shape = len(inspection.ids), inspection.templates, inspection.shapes
    agreement, usual, low = np.zeros(count), 0.0, -np.inf
    if templates is not None and inspection.better_frame is None:
        agreement = np.nan_to_num(_nanmean(templates.agreement))
        usual = float(np.median(agreement))
        low = usual - max(LOW * _deviation(agreement), UNLIKE)
        usual = usual if usual >= TELLING else 0.0
    misfit, root, angle, log_scale = np.full(count, np.nan), np.full(count, np.nan), np.zeros(count), np.zeros(count)
    if usual_shape is not None:
        misfit = usual_shape.misfit(inspection.points)
        root = usual_shape.root(inspection.points, usual_shape.folds)
        pose = shapes.align(usual_shape.reference, inspection.points)
        known = np.isfinite(misfit)
        if known.any():
            angle = np.where(known, _turns(pose.rotation, known), 0.0)
            log_scale = np.where(known, np.log(pose.scale) - np.median(np.log(pose.scale[known])), 0.0)
    return Witnesses(
        agreement,
        usual,
        low,
        misfit,
        root,
        np.abs(angle) / max(TURNED, POSE * _deviation(angle)),
        np.abs(log_scale) / max(SCALED, POSE * _deviation(log_scale)),
        log_scale,
    )


def _turns(rotation: Array, known: Array) -> Array:
    """Angles (I,) between rotations and their mean, radians."""
    u, _, v = np.linalg.svd(rotation[known].mean(axis=0))
    signs = np.ones(len(u))
    signs[-1] = np.sign(np.linalg.det(u @ v))
    trace = np.einsum("iab,ab->i", rotation, (u * signs) @ v)
    cosine = trace / 2 if len(u) == 2 else (trace - 1) / 2
    return np.arccos(np.clip(cosine, -1, 1))


def _cause(inspection: "Inspection", witnesses: Witnesses, number: int) -> Cause | None:
    agreement, misfit = float(witnesses.agreement[number]), float(witnesses.misfit[number])
    unlike = bool(witnesses.usual) and agreement < witnesses.low
    odd = misfit > ODD or witnesses.root[number] > ODD or witnesses.angle[number] > 1 or witnesses.scale[number] > 1
    if not (unlike or odd):
        return _other_owner(inspection, witnesses, number)
    best: tuple[float, Cause] | None = None
    for undone in tries(inspection, float(witnesses.log_scale[number]), number):
        if (score := _judged(inspection, witnesses, number, undone)) is not None and (best is None or score > best[0] + 0.02):
            best = score, undone.cause
    if best is not None:
        return best[1]
    if owner := _other_owner(inspection, witnesses, number):
        return owner
    if witnesses.scale[number] > 1 and not misfit > ODD:
        factor = float(np.exp(witnesses.log_scale[number]))
        times = f"{1 / factor:.3g} times smaller" if factor < 1 else f"{factor:.3g} times larger"
        return Cause("unit", f"its points cover an area {times} than usual: mm for pixels, or a copy of another size.")
    if witnesses.angle[number] > 1 and not misfit > ODD and not (witnesses.usual and agreement > witnesses.low):
        return Cause("turned", "its points are turned against those of the other images.")
    off = unlike and agreement < HALF * witnesses.usual
    if misfit > ODD or (off and witnesses.root[number] > ODD):
        size = _size(misfit, witnesses.root[number])
        return Cause(
            "odd_shape", f"the arrangement of its landmarks is unlike that of the other images ({size:.1f} times the usual distance)."
        )
    if off:
        text = f"its points stand on other structures than in the other images (agreement {agreement:.2f}, usual {witnesses.usual:.2f})."
        return Cause("points_off", text)
    return None


def _judged(inspection: "Inspection", witnesses: Witnesses, number: int, undone: Undone) -> float | None:
    """How well an image fits with a mistake undone; None if not clearly better."""
    usual_shape, templates = inspection.shapes, inspection.templates
    before, after = _size(witnesses.misfit[number], witnesses.root[number]), 0.0
    if usual_shape is not None and np.isfinite(before):
        points = np.where(np.isfinite(inspection.points[number]).all(axis=1)[:, None], undone.points, np.nan)[None]
        after = _size(usual_shape.misfit(points)[0], usual_shape.root(points, usual_shape.folds[number : number + 1])[0])
        if after > max(ODD, 0.8 * before) or (after > ODD and after > 0.5 * before):
            return None
    reshaped = before > ODD and after < CONTENT  # a wrong shape has become a usual one
    if not witnesses.usual or templates is None:
        return 1.0 - after / before if reshaped else None
    stated = float(witnesses.agreement[number])
    agreement = _of(inspection, number, templates.compare(number, undone.patches))
    better = agreement >= max(stated + GAIN, FACTOR * stated, HALF * witnesses.usual)
    as_good = agreement >= max(stated - WORSE, HALF * witnesses.usual)
    return agreement - WORSE * min(after, 10.0) if better or (reshaped and as_good) else None


def _size(misfit: float, root: float) -> float:
    """The larger of two measures of how unusual a shape is; NaN if unknown."""
    return float(np.fmax(misfit, root))


def _other_owner(inspection: "Inspection", witnesses: Witnesses, number: int) -> Cause | None:
    """Whether the points of another image stand better on this one: rows were exchanged or shifted."""
    agreement, templates = float(witnesses.agreement[number]), inspection.templates
    if not witnesses.usual or templates is None or agreement > NEAR * witnesses.usual or witnesses.misfit[number] > ODD:
        return None
    one = inspection.examples[number]
    input_from_own = np.linalg.inv(one["own_from_input"])
    best, owner = -1.0, ""
    for other in inspection.ids:
        if other == inspection.ids[number]:
            continue
        own = inspection.folder.landmarks[other]
        points = geometry.apply(input_from_own, np.where(np.isfinite(own), own, -1e6))
        found = _of(inspection, number, templates.compare(number, surroundings.patches_at(one, points)))
        if found > best:
            best, owner = found, other
    if best < max(agreement + OWNER_GAIN, NEAR * witnesses.usual):
        return None
    text = f"the points of {owner} fit this image better than its own (agreement {best:.2f}, its own {agreement:.2f})."
    return Cause("foreign_points", text)


def _of(inspection: "Inspection", number: int, agreement: Array) -> float:
    """Mean agreement over the landmarks that an image has."""
    present = inspection.examples[number]["annotated"] > 0
    return float(agreement[present].mean())


def _nanmean(values: Array) -> Array:
    empty = np.isnan(values).all(axis=1)
    return np.where(empty, np.nan, np.nanmean(np.where(empty[:, None], 0.0, values), axis=1))


def _deviation(values: Array) -> float:
    """Robust standard deviation: 1.48 times the median distance from the median."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
