"""How the numbers of an annotation file are read: unit, order of the axes, direction of y, first pixel, size of the copy."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from scn_tf.data.annotations import Empty
from scn_tf.data.annotations.conversion import pixel_from
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import ConfigError
from scn_tf.messages import short
from scn_tf.types import Array

Unit: TypeAlias = Literal["pixel", "fraction", "percent", "mm", "lps", "ras"]
UNITS: tuple[Unit, ...] = ("pixel", "fraction", "percent", "mm", "lps", "ras")
PHYSICAL = ("lps", "ras")
TITLES = {
    "pixel": "pixels",
    "fraction": "fractions of the image's sides",
    "percent": "percent of the image's sides",
    "mm": "mm from the first pixel of the image",
    "lps": "mm in the frame of the image's header, LPS",
    "ras": "mm in the frame of the image's header, RAS",
}
AXES = ("xy", "yx", "xyz", "zyx")
MAX_SIDE = 1_000_000


@dataclass(frozen=True)
class Asked:
    """Options that decide how numbers are read; None leaves it to the file and the evidence.

    Attributes:
        frame: one of ``UNITS``.
        y_from: ``top`` or ``bottom``.
        axes: order in which the file writes the coordinates, one of ``AXES``.
        set_on: copy of the images on which the points were set: ``640x480`` pixels, or ``50%`` of each image.
        first: number of the first pixel, 0 or 1.
        spacing: (d,) mm per pixel of images that state none or a wrong one.
        empty: meaning of a landmark without coordinates.
    """

    frame: Unit | None = None
    y_from: Literal["top", "bottom"] | None = None
    axes: str | None = None
    set_on: str | None = None
    first: Literal[0, 1] | None = None
    spacing: tuple[float, ...] | None = None
    empty: Empty | None = None

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            ConfigError: the message names the options.
        """
        if self.frame in PHYSICAL and (self.y_from or self.set_on or self.first):
            other = next(name for name in ("y_from", "set_on", "first") if getattr(self, name))
            raise ConfigError(f"`frame` {self.frame} and `{other}`: the frame of a header has its own directions and unit; leave out one.")
        copy(self.set_on)

    @property
    def reversed(self) -> bool | None:
        """Whether the axes are written in reversed order; None if not asked."""
        return None if self.axes is None else self.axes in ("yx", "zyx")


@dataclass(frozen=True)
class Interpretation:
    """One way to read the numbers of a file.

    Attributes:
        unit: one of ``UNITS``.
        bottom: whether y is counted from the last row upwards.
        reversed: whether y (z, y) is written before x.
        first: number of the first pixel.
        set_on: (d,) sides of the copy on which points were set, or a factor (1,) of the image's; None: the image itself.
        spacing: (d,) mm per pixel, for mm from the first pixel; None: that of the image.
    """

    unit: Unit = "pixel"
    bottom: bool = False
    reversed: bool = False
    first: int = 0
    set_on: tuple[float, ...] | None = None
    spacing: tuple[float, ...] | None = None

    def applies(self, facts: ImageFacts) -> bool:
        """Whether an image has what the unit needs: a frame, or a pixel size."""
        if self.unit in PHYSICAL:  # pixels of an image that states nothing count as 1 mm
            return facts.physical_from_pixel is not None or facts.spacing is None
        return self.unit != "mm" or (self.spacing or facts.spacing) is not None

    def pixel_from_own(self, facts: ImageFacts, sides: tuple[int, ...] | None = None) -> Array:
        """Homogeneous matrix (d + 1, d + 1) from numbers as written to pixels of the image file.

        Args:
            facts: of the image.
            sides: (d,) pixels of the copy on which the points of this image were set, if the file states them.
        """
        dims, size = len(facts.size), np.array(facts.size, float)
        order, start, unit, flip = (np.eye(dims + 1) for _ in range(4))
        if self.reversed:
            order[:-1, :-1] = order[:-1, :-1][::-1]
        start[:-1, -1] = -self.first
        if self.unit in PHYSICAL:
            signs = [-1, -1, 1][:dims] if self.unit == "ras" else [1] * dims
            unit = pixel_from("physical", facts) @ np.diag([*signs, 1])
        elif self.unit in ("fraction", "percent"):
            unit = pixel_from("fraction", facts) @ np.diag([1 if self.unit == "fraction" else 0.01] * dims + [1])
        elif self.unit == "mm":
            unit[:-1, :-1] = np.diag(1 / np.array(self.spacing or facts.spacing, float))
        elif self.set_on is not None or sides is not None:
            set_on = np.array(sides if self.set_on is None else self.set_on, float)
            factor = size / set_on if len(set_on) == dims else np.full(dims, 1 / set_on[0])
            unit[:-1, :-1], unit[:-1, -1] = np.diag(factor), 0.5 * factor - 0.5
        if self.bottom:
            flip = pixel_from("bottom", facts)
        return flip @ unit @ start @ order

    def __str__(self) -> str:
        """Words for a person: ``pixels, y from the bottom, y before x``."""
        parts = [TITLES[self.unit]]
        if self.unit not in PHYSICAL:
            parts.append("y from the bottom" if self.bottom else "y from the top")
        if self.reversed:
            parts.append("x and y exchanged")
        if self.first:
            parts.append("counted from 1")
        if self.set_on is not None:
            sides = " x ".join(f"{side:g}" for side in self.set_on)
            parts.append(f"of a copy of {sides} pixels" if len(self.set_on) > 1 else f"of a copy of {100 * self.set_on[0]:g} % of the size")
        return ", ".join(parts)


def copy(text: str | None) -> tuple[float, ...] | None:
    """Sides of a copy, ``640x480``, or its factor, ``50%``.

    Raises:
        ConfigError: the text is neither.
    """
    if text is None:
        return None
    if match := re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text):
        factor = float(match[1]) / 100
        if 0 < factor <= 100:
            return (factor,)
    sides = re.split(r"[x,]", text)
    if len(sides) in (2, 3) and all(re.fullmatch(r"\d{1,7}", side) and 0 < int(side) <= MAX_SIDE for side in sides):
        return tuple(float(side) for side in sides)
    raise ConfigError(f"`set_on`: expected the size of the copy, such as 640x480 or 50%, received {short(text, 60)}.")
