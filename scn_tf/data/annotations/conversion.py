"""Points from one frame to another, and the writing of annotations in a format."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scn_tf import geometry
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Frame
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, visible
from scn_tf.storage import files
from scn_tf.types import Array


def pixel_from(frame: Frame, facts: ImageFacts) -> Array:
    """Homogeneous matrix (d + 1, d + 1) to pixels of the image file from another frame.

    Args:
        frame: "pixel", "physical", "bottom", "fraction" or "one-based".
        facts: of the image. An image without a frame lies as in 3D Slicer: its first pixel at 0, pixels of its size, or else of 1 mm.
    """
    dims = len(facts.size)
    matrix = np.eye(dims + 1)
    if frame == "physical" and facts.physical_from_pixel is not None:
        return np.linalg.inv(facts.physical_from_pixel)
    if frame == "physical" and facts.spacing is not None:
        matrix[:-1, :-1] = np.diag(1 / np.array(facts.spacing))
    if frame == "bottom":  # an integer is the centre of a pixel, also from below
        matrix[1, 1], matrix[1, -1] = -1, facts.size[1] - 1
    if frame == "fraction":
        matrix[:-1, :-1] = np.diag(facts.size)
    if frame == "one-based":
        matrix[:-1, -1] = -1
    return matrix


def converted(annotations: Annotations, frame: Frame, facts: Mapping[str, ImageFacts]) -> Annotations:
    """The same annotations in another frame.

    Args:
        annotations: in a frame of their own; "stated" is no frame, so the caller replaces it first.
        frame: frame of the result.
        facts: image ID -> facts. Not needed if the frames are equal, or differ in the number of the first pixel alone.

    Raises:
        DatasetError: the facts of an image are missing, its dimension is another, or a frame is not known.
    """
    if annotations.frame == frame:
        return annotations
    if "stated" in (annotations.frame, frame):
        raise DatasetError("the frame of the coordinates is not known: pixels or mm?")
    if {annotations.frame, frame} == {"pixel", "one-based"}:
        step = 1 if frame == "one-based" else -1
        moved = {image_id: values + step for image_id, values in annotations.points.items()}
        return dataclasses.replace(annotations, points=moved, frame=frame)
    points: dict[str, Array] = {}
    for image_id, values in annotations.points.items():
        shown = cut(visible(image_id), 60)
        if image_id not in facts:
            raise DatasetError(f"{shown}: its image is needed to convert {annotations.frame} coordinates to {frame}, and was not found.")
        known = facts[image_id]
        if values.shape[1] != len(known.size):
            raise DatasetError(
                f"{shown}: its landmarks have {values.shape[1]} coordinates, but its image has {len(known.size)} dimensions."
            )
        to_frame = np.linalg.inv(pixel_from(frame, known)) @ pixel_from(annotations.frame, known)
        points[image_id] = geometry.apply(to_frame, values)
    return dataclasses.replace(annotations, points=points, frame=frame)


def in_space(points: Array, facts: ImageFacts | None) -> Array:
    """Points (N, 3) mm of a scene, from points (N, d) in the frame "physical". A slice lies at its place, other 2D images at z 0."""
    if points.shape[1] == 3:
        return points
    if facts is None or facts.plane is None:
        return np.column_stack([points, np.zeros(len(points))])
    return geometry.apply(pixel_from("physical", facts), points) @ facts.plane[:3, :2].T + facts.plane[:3, 2]


def write_annotations(path: Path, annotations: Annotations, row: AnnotationFormat, facts: Mapping[str, ImageFacts]) -> list[Path]:
    """Write annotations in a format, in the frame that it wants.

    Args:
        path: file; for formats with one file per image, the folder in which files ``ID.ENDING`` are written.
        annotations: of any frame.
        row: the format.
        facts: image ID -> facts.

    Returns:
        files written.

    Raises:
        DatasetError: the format is only read, or an image is needed and not known.
        WriteError: a file cannot be written, or belongs to another program.
    """
    if row.write is None:
        raise DatasetError(f"format {row.name}: is only read, not written.")
    if annotations.frame == "one-based":
        annotations = converted(annotations, "pixel", facts)
    ready = annotations if row.writes == "stated" else converted(annotations, row.writes, facts)
    if not row.per_image:
        row.write(path, ready, facts)
        return [path]
    files.make_folder(path)
    written = []
    for image_id in ready.points:
        file = path / f"{image_id}{row.endings[0]}"
        row.write(file, only(ready, image_id), facts)
        written.append(file)
    return written


def only(annotations: Annotations, image_id: str) -> Annotations:
    """The annotations of one image."""

    def part(values: dict) -> dict:
        return {image_id: values[image_id]} if image_id in values else {}

    return dataclasses.replace(
        annotations,
        points=part(annotations.points),
        rows=part(annotations.rows),
        images=part(annotations.images),
        sizes=part(annotations.sizes),
        scores=part(annotations.scores),
        sources=part(annotations.sources),
        absent=part(annotations.absent),
        estimates=part(annotations.estimates),
    )
