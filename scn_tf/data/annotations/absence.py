"""Landmarks that are known not to be in an image ("absent"), as opposed to those that were not annotated ("unknown").

Both have NaN coordinates. ``Annotations.absent`` tells them apart where a file does, and the rule ``empty`` of ``dataset.yaml`` where
it does not.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scn_tf.data.annotations.row import Annotations, Empty
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, visible
from scn_tf.types import Array

WORD = "absent"  # in the cells of a table


def absent_of(annotations: Annotations, image_id: str) -> Array:
    """(N,) bool: landmarks that are known not to be in an image."""
    none = np.zeros(len(annotations.points[image_id]), bool)
    return annotations.absent.get(image_id, none)


def say_absent(cells: Sequence[str], path: Path, line: int, name: str) -> bool:
    """Whether the cells of landmark ``name`` in a table with a header say that it is absent.

    Raises:
        DatasetError: only some of them do; the message names file, line and landmark.
    """
    said = [cell.strip().lower() == WORD for cell in cells]
    if any(said) and not all(said):
        shown = cut(visible(name), 60)
        raise DatasetError(
            f"{path}, line {line}: landmark {shown} is {WORD} in some of its cells. Write it in all {len(cells)} or in none."
        )
    return all(said)


def with_rule(annotations: Annotations, empty: Empty | None) -> Annotations:
    """The annotations under the rule ``empty``: if it is "absent", every landmark without any coordinate is absent. Else as they are."""
    if empty != "absent":
        return annotations
    absent = {image_id: np.isnan(np.asarray(points, float)).all(axis=1) for image_id, points in annotations.points.items()}
    return dataclasses.replace(annotations, absent=absent)
