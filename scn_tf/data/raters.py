"""Several raters of one data set: their tables, and the mean of their points."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scn_tf.config import MEAN, RANDOM, nearest
from scn_tf.data.annotations import Annotations, read_annotations
from scn_tf.data.description import Description
from scn_tf.errors import ConfigError, DataWarning
from scn_tf.messages import cut, short, visible

if TYPE_CHECKING:
    from scn_tf.data.dataset import Dataset


def read(root: Path, description: Description) -> dict[str, Annotations]:
    """Tables of the raters, by name, as ``dataset.yaml`` orders them. A set without raters has one table, without a name.

    Raises:
        DatasetError, ConfigError: a table cannot be read, see :func:`scn_tf.data.annotations.read_annotations`.
    """
    return {
        name: read_annotations(root / place, description.expected, coordinates=description.coordinates, name=description.annotation_format)
        for name, place in (description.raters or {"": description.annotations}).items()
    }


def mean(tables: Mapping[str, Annotations]) -> Annotations:
    """Mean of the raters who annotated a landmark, of every image that has a row in any table.

    A landmark is absent if more raters state so than set a point. ``rows`` are those of the first table with the image.
    """
    found = Annotations({}, {})
    for image_id in dict.fromkeys(image_id for table in tables.values() for image_id in table.points):
        own = [table for table in tables.values() if image_id in table.points]
        points = np.stack([table.points[image_id] for table in own])
        annotated = np.isfinite(points).all(axis=2).sum(axis=0)
        absent = np.sum([table.absent[image_id] for table in own], axis=0) > annotated
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of landmarks without any point
            middle = np.nanmean(points, axis=0)
        found.absent[image_id] = absent
        found.points[image_id] = np.where(absent[:, None], np.nan, middle)
        found.rows[image_id] = own[0].rows[image_id]
    return found


def count(dataset: "Dataset", ids: Sequence[str]) -> tuple[int, int]:
    """Number of landmarks of some images with a point of any rater, and of those among them that not every rater annotated."""
    points = np.array([[rater.landmarks[image_id] for image_id in ids] for rater in dataset.by_rater.values()])
    annotated = np.isfinite(points).all(axis=-1).sum(axis=0)
    return int((annotated > 0).sum()), int(((annotated > 0) & (annotated < len(points))).sum())


def check(rater: str, dataset: "Dataset") -> None:
    """Check the setting ``data.rater`` against a data set.

    Raises:
        ConfigError: the set has no such rater, or none at all.
    """
    known, place = [*dataset.raters], dataset.root / "dataset.yaml"
    if rater in known or rater == MEAN or (rater == RANDOM and known):
        return
    if not known:
        raise ConfigError(f"data.rater: {short(rater, 80)}, but {place} names no raters; list their tables there, or leave it out.")
    hint = cut(visible(nearest(rater, [MEAN, RANDOM, *known])), 200)
    raise ConfigError(f"data.rater: {place} names no rater {short(rater, 80)}{hint}.")


def warn_of_missing_rows(rater: str, dataset: "Dataset", ids: Sequence[str]) -> None:
    """Warn if the rater to train on has no row for some images: they have no point to train on."""
    missing = [image_id for image_id in ids if rater in dataset.raters and image_id not in dataset.raters[rater].points]
    if missing:
        first = cut(visible(missing[0]), 60)
        warnings.warn(
            f"{dataset.by_rater[rater].table}: has no row for {len(missing)} of the {len(ids)} training images (the first: {first}): they "
            "teach nothing. Use the mean or random, or a split of this rater's images.",
            DataWarning,
            stacklevel=3,
        )


def line(rater: str, dataset: "Dataset", ids: Sequence[str]) -> str:
    """Line about raters at the start of a training; empty for a set without."""
    if not dataset.raters:
        return ""
    names = cut(visible(", ".join(dataset.raters)), 200)
    points, fewer = count(dataset, ids)
    trained = {MEAN: "their mean", RANDOM: "a random one per draw"}.get(rater, cut(visible(rater), 80))
    return f"Raters   {names}; trained on {trained}; {fewer} of {points} points are not by all of them\n"
