"""Coordinates that many programs write where there is no point."""

import dataclasses

import numpy as np

from scn_tf.data.annotations import Annotations

FRAMES = ("stated", "pixel", "one-based")  # in which 0,0 is the corner of an image, or outside it


def without_placeholders(raw: Annotations) -> tuple[Annotations, int]:
    """Annotations without points at -1,-1 and 0,0 if they occur several times, which many programs write for no point, and their number.

    Volumes keep 0,0,0, which is a landmark in many frames.
    """
    dims = next(iter(raw.points.values())).shape[1]
    values = (-1.0,) if dims == 3 else (-1.0, 0.0)
    hits = {image_id: np.isin(points[:, 0], values) & (points == points[:, :1]).all(axis=1) for image_id, points in raw.points.items()}
    count = sum(int(found.sum()) for found in hits.values())
    if raw.frame not in FRAMES or count < 2:
        return raw, 0
    points = {image_id: np.where(hits[image_id][:, None], np.nan, values) for image_id, values in raw.points.items()}
    return dataclasses.replace(raw, points=points), count
