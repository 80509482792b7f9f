"""The row of an annotation format, and the result of its reader."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from scn_tf.data import endings
from scn_tf.data.images.facts import ImageFacts
from scn_tf.types import Array, Estimates

# "stated": as ``coordinates`` of dataset.yaml says. "pixel": integers at pixel centres, y from the top. "physical": mm, LPS.
# "bottom": as "pixel", but y counted upwards from 0 in the last row. "fraction": pixels divided by the sides of the image.
# "one-based": as "pixel", but the first pixel has number 1.
Frame = Literal["stated", "pixel", "physical", "bottom", "fraction", "one-based"]
DATASET_FRAMES = ("stated", "pixel", "physical")  # those in which a data set may state its points
# Meaning of a landmark without coordinates: known not to be in the image, or not annotated.
Empty: TypeAlias = Literal["absent", "unknown"]


class Expected(NamedTuple):
    """What a data set states of its annotations.

    Attributes:
        names: of all N landmarks in order. None: the file itself must tell.
        dims: 2 or 3. None: the file itself must tell.
        empty: meaning of a landmark without coordinates. None: as the format has it. Readers need it only if their format has a sign
            that some programs write for landmarks outside the image, and others for those that were not annotated.
    """

    names: tuple[str, ...] | None = None
    dims: int | None = None
    empty: Empty | None = None


@dataclass(frozen=True)
class Annotations:
    """Points of many images.

    Attributes:
        points: image ID -> (N, d) float64, NaN where there is no point, in the coordinates of ``frame``.
        rows: image ID -> line of the file, for messages; 1 if a format has no lines.
        names: names of the N landmarks, if the file states them. None: they are in the order of ``dataset.yaml``.
        frame: kind of the coordinates, if the file states it.
        images: image ID -> name or path of the image as the file writes it. Empty if the file names none. Untrusted text.
        sizes: image ID -> (d,) pixels (x, y[, z]) of the image that the file states. Empty if it states none.
        scores: image ID -> (N,) float64. Empty for annotations; answers of a model have them.
        sources: image ID -> file, where several files were merged.
        absent: image ID -> (N,) bool, landmarks that are known not to be in the image. Their points are NaN. Other NaN points are not
            annotated. An image without an entry has none.
        estimates: image ID -> what a calibrated model states of its points. Empty for annotations.
    """

    points: dict[str, Array]
    rows: dict[str, int]
    names: tuple[str, ...] | None = None
    frame: Frame = "stated"
    images: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    scores: dict[str, Array] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)
    absent: dict[str, Array] = field(default_factory=dict)
    estimates: dict[str, Estimates] = field(default_factory=dict)


@dataclass(frozen=True)
class AnnotationFormat:
    """One row of the annotation formats.

    Attributes:
        name: value of ``annotation_format`` in ``dataset.yaml``, and of options that choose a format.
        endings: endings of its files, in lower case, with the dot. The longest match decides. Files are written with the first.
        description: one line for the table in docs/data.md.
        read: reads a file. If ``per_image`` is false, it may also accept a folder. It must accept ``Expected(None, None)`` if the file
            tells names and dimension. It raises :class:`scn_tf.DatasetError` for invalid files.
        write: writes :class:`Annotations` in the frame ``writes`` to a path; None for formats that are only read. The last argument
            holds :class:`scn_tf.data.images.facts.ImageFacts` of each image ID as far as known.
        per_image: one file per image. A folder is read file by file, and ``write`` is called once per image.
        recognises: whether a file with a fitting ending is of this format, from its path and first 64 KiB. None: the ending tells.
        writes: frame in which ``write`` expects points; "stated": either pixels or mm.
        rank: place in lists. If two formats share an ending, the first is used.
    """

    name: str
    endings: tuple[str, ...]
    description: str
    read: Callable[[Path, Expected], Annotations]
    write: Callable[[Path, Annotations, Mapping[str, ImageFacts]], None] | None = None
    per_image: bool = False
    recognises: Callable[[Path, bytes], bool] | None = None
    writes: Frame = "stated"
    rank: int = 100

    def __post_init__(self) -> None:
        endings.check(self.endings)
