"""Single landmarks that do not fit in an image whose points fit as a whole: displaced ones, and two names exchanged."""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scn_tf.data import evidence
from scn_tf.doctor import surroundings
from scn_tf.presence import known
from scn_tf.shapes import Shapes, align
from scn_tf.types import Array

if TYPE_CHECKING:
    from scn_tf.doctor.inspection import Inspection

FAR = 6.0  # distance from what the other landmarks predict, in usual distances, that needs no further evidence
SUSPECT = 2.5  # distance that is tried in pairs
DOUBTFUL = 4.0  # distance that needs evidence from the image
SURE = 4.5  # distance that an exchange must mend, without evidence from the image
BETTER = 0.5  # of agreement that the predicted place wins: evidence
MOST = 8  # suspicious landmarks of one image that are tried in pairs
CONTENT = 3.5  # distance of landmarks that fit
SEARCH = 3  # pixels of the small copy around the predicted place
SHAPE_ROOT, SHAPE_MODE = 3.5, 3.4  # root mean square of the distances; of the usual size of the deviation from the shape


class Pair(NamedTuple):
    """Two landmarks of an image that are exchanged."""

    first: int
    second: int


@dataclass(frozen=True)
class Misplaced:
    """What is wrong in one image. ``displaced``: landmark -> distance in usual distances. ``odd``: the whole arrangement is unusual."""

    displaced: dict[int, float]
    exchanged: list[Pair]
    shifted: list[int]
    odd: float = 0.0


def misplaced(inspection: "Inspection", leave_out: set[str]) -> dict[str, Misplaced]:
    """ID -> misplaced landmarks, for images that have some.

    Args:
        inspection: of the set.
        leave_out: IDs of images whose points do not fit as a whole.
    """
    usual = inspection.shapes
    if usual is None:
        return {}
    size = _sizes(usual, inspection.points)
    normal = float(np.nanmedian(size)) if np.isfinite(size).any() else 0.0
    found: dict[str, Misplaced] = {}
    for number, image_id in enumerate(inspection.ids):
        if image_id in leave_out or np.isfinite(inspection.points[number]).all(axis=1).sum() < 4:
            continue
        one = _Image(inspection, usual, number)
        result = one.examined()
        odd = 0.0
        if not (result.displaced or result.exchanged or result.shifted) and (size[number] > SHAPE_MODE * normal):
            odd = float(size[number] / normal)
        if result.displaced or result.exchanged or result.shifted or result.odd or odd:
            found[image_id] = Misplaced(result.displaced, result.exchanged, result.shifted, max(odd, result.odd))
    return found


def _sizes(usual: Shapes, points: Array) -> Array:
    """(I,) deviation from the usual shape in usual deviations along its modes (Mahalanobis). NaN where landmarks are absent."""
    away = align(usual.reference, points).to_reference(points) - usual.reference
    found = np.full(len(points), np.nan)
    for number, one in enumerate(away):
        index = np.flatnonzero(np.isfinite(one).ravel())
        if len(index) >= 4 * points.shape[2] and len(index) >= one.size / 2:
            covariance = usual.covariances[usual.folds[number]][np.ix_(index, index)]
            values = one.ravel()[index]
            found[number] = np.sqrt(values @ np.linalg.solve(covariance, values) / len(index))
    return found


class _Image:
    """One image, with its points as they are changed on the way."""

    def __init__(self, inspection: "Inspection", usual: Shapes, number: int) -> None:
        self.usual, self.number = usual, number
        self.example, self.templates = inspection.examples[number], inspection.templates
        if inspection.better_frame is not None:
            self.templates = None
        self.points = inspection.points[number].copy()
        self.fold = usual.folds[number : number + 1]

    def examined(self) -> Misplaced:
        displaced: dict[int, float] = {}
        exchanged: list[Pair] = []
        shifted = self._shifted()
        if shifted:
            return Misplaced({}, [], shifted)
        for _ in range(MOST):
            far, predicted = self._surprises(self.points)
            if (pair := self._pair(far)) is not None:
                exchanged.append(pair)
                self.points[list(pair)] = self.points[list(pair)[::-1]]
                continue
            worst = self._worst(far, predicted)
            if worst is None:
                break
            displaced[worst] = float(far[worst])
            self.points[worst] = np.nan
        root = float(self.usual.root(self.points[None], self.fold)[0])
        return Misplaced(displaced, exchanged, [], root if root > SHAPE_ROOT else 0.0)

    def _surprises(self, points: Array) -> tuple[Array, Array]:
        far, predicted = self.usual.surprises(points[None], self.fold)
        return far[0], predicted[0]

    def _agreement(self, points: Array) -> Array:
        """(N,) agreement of the surroundings with those of the other images; 0 without evidence."""
        if self.templates is None:
            return np.zeros(len(points))
        filled = np.where(np.isfinite(points), points, -1e6)
        return self.templates.compare(self.number, surroundings.patches_at(self.example, filled))

    def _worst(self, far: Array, predicted: Array) -> int | None:
        """The landmark that is most surely displaced."""
        order = np.argsort(-np.nan_to_num(far, nan=-1.0))
        if far[order[0]] > FAR:
            return int(order[0])
        if self.templates is None:
            return None
        stated = self._agreement(self.points)
        for candidate in order[:MOST]:
            if not far[candidate] > DOUBTFUL:
                break
            if (
                self._best_near(predicted, int(candidate)) - stated[candidate] > BETTER
                and stated[candidate] < self.templates.usual[candidate] - BETTER
            ):
                return int(candidate)
        return None

    def _best_near(self, predicted: Array, candidate: int) -> float:
        """Best agreement of a landmark around its predicted place."""
        dims = predicted.shape[1]
        steps = range(-SEARCH, SEARCH + 1, 1 if dims == 2 else SEARCH)
        places = predicted[candidate] + np.array(list(itertools.product(steps, repeat=dims)), float)
        image, borders = self.example["image"][..., 0], evidence.borders(self.example)
        patches = evidence.patches(image, places, np.ones(len(places), bool), borders)
        return float((patches @ known(self.templates).template(self.number, candidate)).max())

    def _pair(self, far: Array) -> Pair | None:
        """Two landmarks whose exchange makes both fit."""
        order = [int(n) for n in np.argsort(-np.nan_to_num(far, nan=-1.0))[:MOST] if far[n] > SUSPECT]
        stated = self._agreement(self.points) if len(order) > 1 else np.zeros(0)
        best: tuple[float, Pair] | None = None
        for first, second in itertools.combinations(order, 2):
            points = self.points.copy()
            points[[first, second]] = points[[second, first]]
            after = self._surprises(points)[0]
            before = max(far[first], far[second])
            left = max(after[first], after[second])
            if left > min(CONTENT, 0.6 * before):
                continue
            gain = 0.0
            if self.templates is not None:
                gain = float((self._agreement(points) - stated)[[first, second]].sum())
            if before > FAR or gain > BETTER or (before > SURE and left < 0.4 * before):
                score = before - left + gain
                if best is None or score > best[0]:
                    best = score, Pair(first, second)
        return best[1] if best else None

    def _shifted(self) -> list[int]:
        """Landmarks that follow each other and each have the point of the next or previous one: a part of the list is shifted."""
        aligned = align(self.usual.reference, self.points[None]).to_reference(self.points[None])[0]
        stated = np.linalg.norm(aligned - self.usual.reference, axis=1) / self.usual.spread
        best: tuple[float, list[int]] = (0.0, [])
        for shift in (1, -1):
            moved = np.roll(aligned, shift, axis=0)
            moved[0 if shift > 0 else -1] = np.nan
            other = np.linalg.norm(moved - self.usual.reference, axis=1) / self.usual.spread
            gains = np.nan_to_num(np.minimum(stated, 10.0) - np.minimum(other, 10.0), nan=-1.0) - 1.0
            start, total = 0, 0.0
            for end, gain in enumerate(gains):
                if total <= 0:
                    start, total = end, 0.0
                total += gain
                run = list(range(start, end + 1))
                # Two names that are exchanged are no run: each of three or more points fits its neighbour's place, and not its own.
                if total > best[0] and ((stated[run] > CONTENT) & (other[run] < CONTENT - 1)).sum() >= 3:
                    best = total, run
        return best[1]
