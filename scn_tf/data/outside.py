"""Landmarks outside their image or the network's input: their names, number, and an input that would contain them."""

import math
import warnings

import numpy as np

from scn_tf.config import ModelConfig
from scn_tf.data.dataset import Dataset
from scn_tf.errors import DataWarning
from scn_tf.messages import cut, visible
from scn_tf.storage.files import counted
from scn_tf.types import Example, known

MAX_NAMED = 3  # images


class Outside:
    """Landmarks that lie outside in the examples of a split.

    Args:
        dataset: the data set of the split.
        model: resolved settings of the network.
    """

    def __init__(self, dataset: Dataset, model: ModelConfig) -> None:
        self.dataset, self.model = dataset, model
        self.image: dict[str, list[str]] = {}  # ID -> names
        self.input: dict[str, list[str]] = {}
        self.reach = np.zeros(dataset.description.dims)

    def add(self, image_id: str, example: Example) -> None:
        """Add one example (see :mod:`scn_tf.data.pipeline`), a dict of arrays."""
        missed = (example["annotated"] > 0) & (example["visible"] == 0)
        if not missed.any():
            return
        centre = (np.array(known(self.model.image_size)[::-1]) - 1) / 2  # of image and input
        away = np.abs(example["landmarks"].astype(float) - centre)
        in_image = (away <= example["size"] / example["file_per_pixel"] / 2 + 1e-3).all(axis=1)
        # Without a spacing the input shows the whole image, so that a point that it lacks lies on the image's border or beyond.
        cut_off = missed & in_image & (away > centre + 0.5).any(axis=1) & (self.model.spacing_mm is not None)
        for found, chosen in ((self.image, missed & ~cut_off), (self.input, cut_off)):
            if chosen.any():
                found[image_id] = [self.dataset.description.names[number] for number in np.flatnonzero(chosen)]
        if cut_off.any():
            self.reach = np.maximum(self.reach, away[cut_off].max(axis=0))

    def warn(self) -> None:
        """Warn (:class:`DataWarning`) about landmarks outside images, and outside the input with sizes that would contain all."""
        if self.image:
            warnings.warn(
                f"{self._listed(self.image, 'their image')} If they are rightly there, write absent in their fields.",
                DataWarning,
                stacklevel=3,
            )
        if self.input:
            warnings.warn(f"{self._listed(self.input, 'the network input')} {self._remedy()}", DataWarning, stacklevel=3)

    def _listed(self, found: dict[str, list[str]], place: str) -> str:
        number = sum(map(len, found.values()))
        shown = [
            f"line {self.dataset.rows[image_id]} ({cut(visible(image_id), 40)}): {cut(visible(', '.join(names)), 120)}"
            for image_id, names in list(found.items())[:MAX_NAMED]
        ]
        more = f"; and {counted(len(found) - MAX_NAMED, 'more image')}" if len(found) > MAX_NAMED else ""
        return (
            f"{self.dataset.table}: {counted(number, 'landmark')} of {counted(len(found), 'image')} outside {place}: trained as "
            f"absent, but errors count them. {'; '.join(shown)}{more}."
        )

    def _remedy(self) -> str:
        sides, spacing_mm = np.array(known(self.model.image_size)), known(self.model.spacing_mm)
        needed = np.maximum(np.ceil(2 * self.reach[::-1] + 1), sides).astype(int)
        shape = [_next_side(self.model, axis, int(side)) for axis, side in enumerate(needed)]
        spacing = spacing_mm * max(needed / sides)
        digits = 2 - math.floor(math.log10(spacing))
        rounded = math.ceil(spacing * 10**digits) / 10**digits
        shows = " x ".join(f"{side * spacing_mm:g}" for side in sides)
        return (
            f"An input of {sides.tolist()} pixels of {spacing_mm:g} mm shows {shows} mm. "
            f"`model.image_size` {','.join(map(str, shape))} or `model.spacing_mm` {rounded:g} holds them."
        )


def _next_side(model: ModelConfig, axis: int, side: int) -> int:
    """Smallest side of at least ``side`` that the network's poolings divide."""
    for longer in range(side, side + 1024):
        shape = list(known(model.image_size))
        shape[axis] = longer
        try:
            return known(model.model_copy(update={"image_size": tuple(shape)}).resolved(len(shape)).image_size)[axis]
        except ValueError:
            continue
    return side
