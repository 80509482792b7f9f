"""Annotations from single points of a file, which come one by one and in any order."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scn_tf.data.annotations.identities import identities
from scn_tf.data.annotations.order import common_order
from scn_tf.data.annotations.row import Annotations, Expected, Frame
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, visible
from scn_tf.types import Array

MAX_LANDMARKS, MAX_NAME = 10_000, 200
MAX_COORDINATES = 20_000_000  # of all images: a small file with many images and many names would fill the memory


class Points:
    """Points of one file, by image and landmark.

    Args:
        path: of the file, for messages.
        dims: 2 or 3.
    """

    def __init__(self, path: Path, dims: int) -> None:
        self.path, self.dims = path, dims
        self.lines: dict[str, int] = {}  # image -> its first line
        self.names: dict[str, int] = {}  # landmark -> its number
        self._points: dict[str, dict[int, tuple[Sequence[float], float, int]]] = {}
        self._absent: dict[str, set[int]] = {}  # image -> numbers of landmarks that are not in it

    def add(self, image: str, name: str, point: Sequence[float], *, line: int, score: float = np.nan, absent: bool = False) -> None:
        """Add a point. NaN coordinates: it is not annotated or, if ``absent``, known not to be in the image.

        Raises:
            DatasetError: the image already has the landmark, or there are too many landmarks. The message names the line.
        """
        if not name or len(name) > MAX_NAME:
            raise DatasetError(f"{self.path}, line {line}: expected the name of a landmark, at most {MAX_NAME} characters.")
        number = self.names.setdefault(name, len(self.names))
        self.lines.setdefault(image, line)
        own = self._points.setdefault(image, {})
        if number in own:
            raise DatasetError(
                f"{self.path}, line {line}: image {cut(visible(image), 60)} has landmark {cut(visible(name), 60)} twice, first in line "
                f"{own[number][2]}."
            )
        own[number] = point, score, line
        if absent:
            self._absent.setdefault(image, set()).add(number)
        if len(self.names) > MAX_LANDMARKS or len(self.names) * len(self._points) * self.dims > MAX_COORDINATES:
            raise DatasetError(
                f"{self.path}, line {line}: expected at most {MAX_LANDMARKS:,} landmarks and {MAX_COORDINATES:,} coordinates, received "
                f"{len(self.names):,} landmarks in {len(self._points):,} images."
            )

    def annotations(self, expected: Expected, frame: Frame, *, images: bool = True) -> Annotations:
        """All points.

        Args:
            expected: what the data set expects.
            frame: of the coordinates.
            images: whether the images were added by their names or paths. False: by their IDs.

        Raises:
            DatasetError: there is no point, or two images have the same name.
        """
        if not self._points:
            raise DatasetError(f"{self.path}: holds no points.")
        found_names = list(self.names)
        ids = identities(self.path, self._points) if images else {image: image for image in self._points}
        points, scores = {}, {}
        for image, own in self._points.items():
            values = np.full((len(self.names), self.dims), np.nan)
            likely = np.full(len(self.names), np.nan)
            for number, (point, score, _) in own.items():
                values[number], likely[number] = point, score
            points[ids[image]] = values
            if np.isfinite(likely).any():
                scores[ids[image]] = likely
        found = Annotations(
            points,
            {ids[image]: line for image, line in self.lines.items()},
            tuple(found_names),
            frame,
            {ids[image]: image for image in self._points} if images else {},
            scores=scores,
            absent={ids[image]: np.isin(np.arange(len(self.names)), list(numbers)) for image, numbers in self._absent.items()},
        )
        names = common_order([found_names[number] for number in own] for own in self._points.values())
        if names != found_names:
            found = ordered(found, np.array([self.names[name] for name in names]), tuple(names))
        return without_numbers(found, expected)


def without_numbers(found: Annotations, expected: Expected) -> Annotations:
    """Annotations whose landmarks are only numbered, from 0 or 1, in that order and without names. Others as they are."""
    names = found.names or ()
    numbers = [int(name) if name.isascii() and name.isdigit() and len(name) < 6 else -1 for name in names]
    first = min(numbers, default=-1)
    named = expected.names is not None and set(expected.names) == set(names) and expected.names != tuple(map(str, range(len(names))))
    if named or first not in (0, 1) or sorted(numbers) != list(range(first, first + len(names))):
        return found
    order = np.argsort(numbers)
    return ordered(found, order, None)


def ordered(found: Annotations, order: Array, names: tuple[str, ...] | None) -> Annotations:
    """Annotations with the landmarks of these numbers, in this order, and with other names."""
    points = {image_id: values[order] for image_id, values in found.points.items()}
    scores = {image_id: values[order] for image_id, values in found.scores.items()}
    absent = {image_id: values[order] for image_id, values in found.absent.items()}
    return dataclasses.replace(found, points=points, names=names, scores=scores, absent=absent)
