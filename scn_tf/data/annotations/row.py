"""The row of an annotation format, and the result of its reader."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from scn_tf.data import endings
from scn_tf.types import Array

# "stated": as ``coordinates`` of dataset.yaml says; else what the file itself says, in the words of ``coordinates``.
Frame = Literal["stated", "pixel", "physical"]


class Expected(NamedTuple):
    """Landmarks as stated by a data set: ``names`` of all N in order, and ``dims``, 2 or 3."""

    names: tuple[str, ...]
    dims: int


@dataclass(frozen=True)
class Annotations:
    """Points of many images.

    Attributes:
        points: image ID -> (N, d) float64, NaN if absent. Either pixels (x, y[, z]) with integers at pixel centres and y from the
            top, or mm in LPS.
        rows: image ID -> line of the file, for messages; 1 if a format has no lines.
        names: names of the N landmarks, if the file states them. None: they are in the order of ``dataset.yaml``.
        frame: kind of the coordinates, if the file states it.
    """

    points: dict[str, Array]
    rows: dict[str, int]
    names: tuple[str, ...] | None = None
    frame: Frame = "stated"


@dataclass(frozen=True)
class AnnotationFormat:
    """One row of the annotation formats.

    Attributes:
        name: value of ``annotation_format`` in ``dataset.yaml``.
        endings: endings of its files, in lower case, with the dot. The longest match decides.
        description: one line for the table in docs/data.md.
        read: reads a file, or the folder of a format with one file per image. It raises :class:`scn_tf.DatasetError` for invalid files.
        write: writes :class:`Annotations` to a path; None for formats that are only read.
        rank: place in lists. If two formats share an ending, the first is used.
    """

    name: str
    endings: tuple[str, ...]
    description: str
    read: Callable[[Path, Expected], Annotations]
    write: Callable[[Path, Annotations], None] | None = None
    rank: int = 100

    def __post_init__(self) -> None:
        endings.check(self.endings)
