"""Annotations and images of the sources, brought together: the part that a new data set and a conversion share."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from scn_tf.data import images
from scn_tf.data.annotations import AnnotationFormat, Annotations, merged
from scn_tf.errors import DatasetError, ImageError
from scn_tf.intake import looks, matching, parts
from scn_tf.intake.decision import Decision, decide
from scn_tf.intake.interpretation import PHYSICAL, Asked
from scn_tf.intake.looks import Look
from scn_tf.intake.matching import Entry, Matched
from scn_tf.intake.parts import Part
from scn_tf.intake.sources import Found, image_ids, image_sources
from scn_tf.intake.witness import Witness
from scn_tf.messages import cut, visible
from scn_tf.types import Array

SHOWN = 4  # names in a message
ALIKE = 0.01  # relative difference of two ratios of sides that rounding explains


Images: TypeAlias = tuple[Matched, dict[str, Path], list[str]]  # matched, image ID -> path of those matched, files that are not read


class Gathered(NamedTuple):
    """Annotations of the sources under the IDs of their images.

    Attributes:
        row: the format.
        parts: annotation files as read.
        matched: which annotations belong to which image.
        files: image ID -> file or folder of a series, for every image with annotations that can be read.
        looks: image ID -> look at it.
        failed: image ID -> reason why an image with annotations cannot be read.
        unread: one line per file of a format that is not read.
        raw: annotations with numbers as written.
        sides: image ID -> pixels of the copy on which its points were set, where files state another size.
        flat: whether z of the points was dropped, since the images are 2D.
    """

    row: AnnotationFormat
    parts: list[Part]
    matched: Matched
    files: dict[str, Path]
    looks: dict[str, Look]
    failed: dict[str, str]
    unread: list[str]
    raw: Annotations
    sides: dict[str, tuple[int, ...]]
    flat: bool

    @property
    def dims(self) -> int:
        """Dimension of images and points."""
        return next(iter(self.raw.points.values())).shape[1]

    def witness(self) -> Witness:
        """The images as witnesses for these points."""
        return Witness(self.raw.points, self.looks, self.sides)


def gather(found: Found, name: str | None, asked: Asked) -> Gathered:
    """Read annotations and images, and find which belong together.

    Args:
        found: files of the sources.
        name: format of the annotations; None: by the files.
        asked: options.

    Raises:
        DatasetError: there are no annotations or images, they do not fit together, or a file is invalid.
        ImageError: no image with annotations can be read.
    """
    pictures = {path for path in found.files if images.is_image(path)}
    chosen = parts.choose(found, name, pictures)
    others = [path for path in found.files if path in pictures and path not in chosen.paths]
    read = parts.read_parts(chosen, dims=functools.cache(lambda: looks.dimension(others[0]) if others else None), empty=asked.empty)
    dims = max(points.shape[1] for part in read for points in part.annotations.points.values())
    matched, sources, unread = _of_dimension(found, read, chosen.paths, dims)
    flat = dims == 3 and _first_dimension(matched, sources) == 2
    dims = 2 if flat else dims
    seen, failed = looks.look_at(sources, dims=dims)
    if not seen:
        raise ImageError(next(iter(failed.values())))
    raw = _under_image_ids(read, {image_id: matched.pairs[image_id] for image_id in sources if image_id in seen})
    if flat:
        raw = _flattened(raw)
    _check_dims(raw, seen)
    sides = {} if asked.set_on or raw.frame not in ("pixel", "bottom", "one-based", "stated") else _copies(raw, seen)
    return Gathered(
        chosen.row,
        read,
        matched,
        {image_id: path for image_id, path in sources.items() if image_id in seen},
        seen,
        failed,
        unread,
        raw,
        sides,
        flat,
    )


def in_dataset_frame(gathered: Gathered, decision: Decision) -> Annotations:
    """The annotations in a frame of data sets: mm (LPS) if they are of the header's frame and all images state one, else pixels."""
    physical = decision.how.unit in PHYSICAL and all(look.facts.physical_from_pixel is not None for look in gathered.looks.values())
    witness = gathered.witness()
    points = {}
    for image_id, values in gathered.raw.points.items():
        if physical:
            signs = [-1.0, -1.0, 1.0] if decision.how.unit == "ras" else [1.0, 1.0, 1.0]
            ordered = values[:, ::-1] if decision.how.reversed else values
            points[image_id] = ordered * np.array(signs[: values.shape[1]])
        else:
            points[image_id] = witness.pixels(image_id, decision.how)
    return dataclasses.replace(gathered.raw, points=points, frame="physical" if physical else "pixel", sizes={})


def decided(gathered: Gathered, asked: Asked) -> Decision:
    """The frame of the numbers; see :func:`scn_tf.intake.decision.decide`."""
    return decide(gathered.witness(), gathered.raw.frame, asked)


def _of_dimension(found: Found, read: Sequence[Part], annotation_files: Sequence[Path], dims: int) -> Images:
    """Images for points of a dimension. Points of 3D may lie in 2D images: 3D Slicer writes three coordinates for them, too."""
    try:
        found_images = _matched(found, read, annotation_files, dims)
        dimension = _first_dimension(*found_images[:2])
        if dims == 3 and dimension is None:  # a folder of single slices
            raise DatasetError(f"{visible(str(found_images[1][next(iter(found_images[0].pairs))]))}: is no volume.")
    except DatasetError as error:
        if dims == 2:
            raise
        try:
            flat = _matched(found, read, annotation_files, 2)
        except DatasetError:
            raise error from None
        if _first_dimension(*flat[:2]) != 2:
            raise
        return flat
    if dims == 2 and dimension == 3:
        image_id, entry = next(iter(found_images[0].pairs.items()))
        shown = f"{visible(str(entry.path))} ({cut(visible(entry.name), 40)})"
        raise DatasetError(f"{shown}: its points have 2 coordinates, but {found_images[1][image_id].name} is a volume.")
    return _matched(found, read, annotation_files, 2) if dims == 3 and dimension == 2 else found_images


def _first_dimension(matched: Matched, sources: Mapping[str, Path]) -> int | None:
    return looks.dimension(sources[next(iter(matched.pairs))])


def _matched(found: Found, read: Sequence[Part], annotation_files: Sequence[Path], dims: int) -> Images:
    """Images of the sources, matched to the annotations: (matched, image ID -> path of those matched, files that are not read)."""
    sources, unread = image_sources(found, dims=dims, without=annotation_files)
    roots = ", ".join(visible(str(root)) for root in found.roots[:SHOWN])
    if not sources:
        raise DatasetError(f"{roots}: no images found. {' '.join(unread[:1]) or 'Name the folder of the images, too.'}")
    entries = matching.entries(read)
    matched = matching.match(entries, sources, functools.cache(lambda path: looks.dimension(path) == dims))
    if not matched.pairs:
        names = ", ".join(cut(visible(entry.name), 60) for entry in entries[:SHOWN])
        own = ", ".join(source.id for source in sources[:SHOWN])
        raise DatasetError(
            f"{visible(str(read[0].path))}: no annotation belongs to one of the {len(sources)} images. It names {names}; "
            f"the images are {own}. Give both the same names, or one folder per pair."
        )
    paths = {source.id: source.path for source in sources}
    used = [image_id for image_id in paths if image_id in matched.pairs]
    ids = dict(zip(used, image_ids([paths[image_id] for image_id in used]), strict=True))  # images that are not used take no name
    pairs = {ids[image_id]: entry for image_id, entry in matched.pairs.items()}
    return matched._replace(pairs=pairs), {ids[image_id]: paths[image_id] for image_id in used}, unread


def _under_image_ids(read: Sequence[Part], pairs: Mapping[str, Entry]) -> Annotations:
    """One set of annotations, with the IDs of images in place of those of the files."""
    by_part: dict[int, dict[str, str]] = {}
    for image_id, entry in pairs.items():
        by_part.setdefault(entry.part, {})[image_id] = entry.key
    kept = []
    for number, keys in sorted(by_part.items()):
        own = read[number].annotations

        def under(values: Mapping, keys: Mapping[str, str] = keys) -> dict:
            return {image_id: values[key] for image_id, key in keys.items() if key in values}

        renamed = dataclasses.replace(
            own,
            points=under(own.points),
            rows=under(own.rows),
            images={},
            sizes=under(own.sizes),
            scores={},
            absent=under(own.absent),
        )
        kept.append((read[number].path, renamed))
    whole = merged(complete_first(kept))
    return dataclasses.replace(
        whole, points={image_id: _without_halves(whole.points[image_id]) for image_id in pairs if image_id in whole.points}
    )


def complete_first(files: Sequence[tuple[Path, Annotations]]) -> list[tuple[Path, Annotations]]:
    """Files with the most landmarks first: they state the order of the others, which may leave some out."""
    return sorted(files, key=lambda file: -len(file[1].names or ()))


def _without_halves(points: Array) -> Array:
    """Points with NaN in every coordinate of those that lack one."""
    values = np.array(points, "float64")
    values[np.isnan(values).any(axis=1)] = np.nan
    return values


def _flattened(raw: Annotations) -> Annotations:
    """Points of 3D without their z, for 2D images. Only mm of a header's frame, or points of one plane, have a z to drop."""
    for image_id, points in raw.points.items():
        depths = points[np.isfinite(points).all(axis=1), 2]
        if raw.frame != "physical" and len(depths) and np.ptp(depths) > 0:
            raise DatasetError(f"{where(raw, image_id)}: has points of three coordinates, but its image is 2D. Write x and y alone.")
    return dataclasses.replace(raw, points={image_id: points[:, :2] for image_id, points in raw.points.items()}, sizes={})


def where(raw: Annotations, image_id: str) -> str:
    """File, line and image for a message."""
    return f"{visible(str(raw.sources[image_id]))}, line {raw.rows.get(image_id, 1)} ({cut(visible(image_id), 40)})"


def _check_dims(raw: Annotations, seen: Mapping[str, Look]) -> None:
    for image_id, points in raw.points.items():
        size = seen[image_id].facts.size
        if points.shape[1] != len(size):
            raise DatasetError(
                f"{where(raw, image_id)}: its points have {points.shape[1]} coordinates, but its image has {len(size)} dimensions."
            )


def _copies(raw: Annotations, seen: Mapping[str, Look]) -> dict[str, tuple[int, ...]]:
    """Stated sizes that differ from those of the images, by ID: points were set on smaller or larger copies.

    Raises:
        DatasetError: the copy has other proportions, so that it may be turned or cropped.
    """
    found = {}
    for image_id, stated in raw.sizes.items():
        size = seen[image_id].facts.size
        if tuple(stated) == size or len(stated) != len(size) or min(stated) < 1:
            continue
        ratios = np.array(size) / np.array(stated)
        # Sides of a smaller copy are rounded.
        if np.ptp(ratios) > ratios.max() * (ALIKE + 1 / min(stated)):
            shown, own = " x ".join(map(str, stated)), " x ".join(map(str, size))
            turned = " Was it turned by its EXIF orientation?" if tuple(reversed(stated)) == size else ""
            raise DatasetError(
                f"{where(raw, image_id)}: states an image of {shown} pixels, but {seen[image_id].facts.path.name} has {own}.{turned} "
                "If the points were set on a stretched copy, give its size with `set_on`; `set_on` 100% takes the points as they are."
            )
        found[image_id] = tuple(stated)
    return found
