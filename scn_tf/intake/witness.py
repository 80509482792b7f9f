"""The images as witnesses: where points of an interpretation lie, and whether their surroundings look alike in all images."""

from collections.abc import Mapping

import numpy as np

from scn_tf import geometry
from scn_tf.data.evidence import AGREES, FACTOR, GAIN, MAX_LANDMARKS, MIN_IMAGES, MIN_POINTS, SHARE, correlation, patches
from scn_tf.intake.interpretation import Interpretation
from scn_tf.intake.looks import Look
from scn_tf.types import Array

BORDER = 1.0  # pixels that a point may lie outside: counted from 1, or on the border of the last pixel
INSIDE = 0.9  # share of the points that lie in their image in the right frame


class Witness:
    """Points of many images, as their file writes them, and the images.

    Args:
        points: image ID -> (N, d) numbers of the file, NaN if absent.
        looks: image ID -> look at the image.
        sides: image ID -> (d,) pixels of the copy on which points were set, where the file states another size than the image has.
    """

    def __init__(self, points: Mapping[str, Array], looks: Mapping[str, Look], sides: Mapping[str, tuple[int, ...]]) -> None:
        self.points, self.looks, self.sides = points, looks, sides
        self.shown = [image_id for image_id, look in looks.items() if look.picture is not None and image_id in points]
        self._agreement: dict[Interpretation, Array] = {}

    @property
    def dims(self) -> int:
        """Dimension of the images."""
        return len(next(iter(self.looks.values())).facts.size)

    @property
    def enough(self) -> bool:
        """Whether there are enough images and points for their agreement to say something."""
        count = len(next(iter(self.points.values())))
        return len(self.shown) >= MIN_IMAGES and len(self.shown) * count >= MIN_POINTS

    def values(self) -> Array:
        """(P, d) numbers of all points that are present."""
        return np.concatenate([points[np.isfinite(points).all(axis=1)] for points in self.points.values()])

    def pixels(self, image_id: str, how: Interpretation) -> Array:
        """(N, d) points of an image in pixels of its file."""
        matrix = how.pixel_from_own(self.looks[image_id].facts, self.sides.get(image_id))
        return geometry.apply(matrix, self.points[image_id])

    def applies(self, how: Interpretation) -> bool:
        """Whether all images have what an interpretation needs."""
        return all(how.applies(look.facts) for look in self.looks.values())

    def inside(self, how: Interpretation) -> bool:
        """Whether the points of an interpretation lie in the images, save a few."""
        return self.share_inside(how) >= INSIDE

    def share_inside(self, how: Interpretation) -> float:
        """Share of the points that lie in their image."""
        hits = points = 0
        for image_id in self.points:
            pixels = self.pixels(image_id, how)
            with np.errstate(invalid="ignore"):
                within = (pixels >= -0.5 - BORDER) & (pixels <= np.array(self.looks[image_id].facts.size) - 0.5 + BORDER)
            hits += int(within.all(axis=1).sum())
            points += int(np.isfinite(pixels).all(axis=1).sum())
        return hits / max(points, 1)

    def within(self, how: Interpretation, part: float) -> bool:
        """Whether all points lie in the first part of each side of their image."""
        return all(
            bool((pixels[np.isfinite(pixels).all(axis=1)] <= part * np.array(self.looks[image_id].facts.size)).all())
            for image_id in self.points
            for pixels in (self.pixels(image_id, how),)
        )

    def same(self, first: Interpretation, second: Interpretation) -> bool:
        """Whether two interpretations put all points on the same places."""
        return all(
            np.allclose(self.pixels(image_id, first), self.pixels(image_id, second), atol=0.01, equal_nan=True) for image_id in self.points
        )

    def agreement(self, how: Interpretation) -> Array:
        """(N,) mean correlation of each landmark's surroundings over pairs of images; at most ``MAX_LANDMARKS`` of them."""
        if how not in self._agreement:
            found = []
            for image_id in self.shown:
                picture = self.looks[image_id].picture
                assert picture is not None
                points = geometry.apply(picture.from_file, self.pixels(image_id, how))
                chosen = np.unique(np.linspace(0, len(points) - 1, MAX_LANDMARKS).round().astype(int))
                present = np.isfinite(points[chosen]).all(axis=1)
                found.append(patches(picture.array, np.nan_to_num(points[chosen]), present, picture.borders))
            self._agreement[how] = correlation(np.stack(found))
        return self._agreement[how]

    def mean(self, how: Interpretation) -> float:
        """Mean agreement of all landmarks."""
        return float(self.agreement(how).mean())

    def prefers(self, other: Interpretation, how: Interpretation) -> bool:
        """Whether the images agree much better about one interpretation than about another."""
        if not self.enough:
            return False
        better, stated = self.agreement(other), self.agreement(how)
        if better.mean() < max(AGREES, stated.mean() + GAIN, FACTOR * stated.mean()):
            return False
        known = (stated != 0) | (better != 0)
        return bool((better > stated)[known].mean() >= SHARE)
