"""Annotation files of the sources: choice of one format, and reading, file by file."""

import dataclasses
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.annotations import ANNOTATIONS, AnnotationFormat, Annotations, Empty, Expected, read_any, recognised, with_rule
from scn_tf.data.description import Description, read_description
from scn_tf.errors import DatasetError
from scn_tf.intake.damage import UNREAD, damage, half_written
from scn_tf.intake.sources import DESCRIPTION, Found
from scn_tf.messages import cut, visible

FOLDERS = re.compile(r"(?i)(labels?|label_?maps?|annotations?|landmarks?|points|masks?|seg\w*)(Tr|Ts)?")  # of annotations
SHOWN = 4  # names in a message


class Part(NamedTuple):
    """Annotations of one file, under the IDs and in the frame of the file, and the ``dataset.yaml`` that describes the file."""

    path: Path
    annotations: Annotations
    description: Description | None = None


class Chosen(NamedTuple):
    """The format of the sources, and its files."""

    row: AnnotationFormat
    paths: list[Path]


def choose(found: Found, name: str | None, pictures: Collection[Path]) -> Chosen:
    """Choose the format of the annotation files. All must be of one format.

    Args:
        found: files of the sources.
        name: name of the format; None: by the contents of the files.
        pictures: files that are images. They count as annotations only if no other file is one, or if ``name`` asks for them.

    Raises:
        DatasetError: no annotation file, several formats, or a file of which several formats may be.
        ConfigError: the format is unknown.
    """
    if name is not None:
        return _named(found, ANNOTATIONS[name], pictures)
    rows = {path: recognised(path) for path in found.files if path not in pictures}
    for path, those in rows.items():
        if not those and found.named(path):
            raise DatasetError(f"{_shown(path)}: {_unrecognised(path)}")
    rows = {path: those for path, those in rows.items() if those}
    if not rows:
        rows = {path: those for path in found.files if path in pictures and (those := recognised(path))}
    if not rows:
        rows = {path: those for path in _in_folders_of_annotations(pictures) if (those := _by_ending(path))}
    if not rows:
        raise DatasetError(_no_annotations(found, pictures))
    common = [row for row in next(iter(rows.values())) if all(row in those for those in rows.values())]
    if len(common) == 1:
        if (cut_short := half_written(found.files, rows, pictures)) is not None:
            raise DatasetError(f"{_shown(cut_short)}: {_unrecognised(cut_short)}")
        return Chosen(common[0], list(rows))
    if common:
        names = " or ".join(row.name for row in common)
        raise DatasetError(f"{_shown(next(iter(rows)))}: may be of format {names}. Name it with `format`.")
    raise DatasetError(_several(rows))


def _named(found: Found, row: AnnotationFormat, pictures: Collection[Path]) -> Chosen:
    """Files of a format that the user names: those given themselves, and those in folders that look like it."""
    given = [path for path in found.files if found.named(path) and path not in pictures]
    fitting = [path for path in found.files if path not in given and path.name.lower().endswith(row.endings)]
    fitting = [path for path in fitting if row in recognised(path)]
    paths = given + ([path for path in fitting if path not in pictures] or ([] if given else fitting))
    if not paths:
        paths = [path for path in _in_folders_of_annotations(pictures) if row in _by_ending(path)]
    if not paths:
        roots = ", ".join(map(_shown, found.roots[:SHOWN]))
        raise DatasetError(f"{roots}: expected files of format {row.name} ({', '.join(row.endings)}), found none.")
    return Chosen(row, paths)


def _in_folders_of_annotations(pictures: Collection[Path]) -> list[Path]:
    """Images in folders with names such as ``labels``, if there are others: they may be label maps, which look like images."""
    inside = sorted(path for path in pictures if FOLDERS.fullmatch(path.parent.name))
    return inside if len(inside) < len(pictures) else []


def _by_ending(path: Path) -> list[AnnotationFormat]:
    return [row for row in ANNOTATIONS.values() if path.name.lower().endswith(row.endings)]


def _unrecognised(path: Path) -> str:
    fitting = [row.name for row in _by_ending(path)]
    if fitting:
        return damage(path) or (
            f"no annotation file of the formats with this ending ({', '.join(fitting)}). Is it damaged or half-written? "
            "Else name its format with `format`."
        )
    if path.suffix.lower() in UNREAD:
        return f"no annotation file that is read. {UNREAD[path.suffix.lower()]}"
    return f"no image, and no annotation file. Formats: {', '.join(ANNOTATIONS)}."


def _no_annotations(found: Found, pictures: Collection[Path]) -> str:
    others = [path for path in found.files if path not in pictures]
    fitting = [path for path in others if _by_ending(path)]
    roots = ", ".join(map(_shown, found.roots[:SHOWN]))
    fitting += [path for path in others if path.suffix.lower() in UNREAD]
    if fitting:
        return f"{roots}: no annotation file found. {visible(fitting[0].name)}: {_unrecognised(fitting[0])}"
    seen = f" Files there: {', '.join(path.name for path in others[:SHOWN])}." if others else ""
    return f"{roots}: no annotation file found. Name it beside the images.{visible(seen)} Formats: {', '.join(ANNOTATIONS)}."


def _several(rows: dict[Path, list[AnnotationFormat]]) -> str:
    files: dict[str, list[str]] = {}
    for path, those in rows.items():
        files.setdefault(" or ".join(row.name for row in those), []).append(visible(path.name))
    listed = "; ".join(f"{names}: {', '.join(some[:SHOWN])}{' ...' if len(some) > SHOWN else ''}" for names, some in files.items())
    return (
        f"{_shown(next(iter(rows)).parent)}: annotation files of several formats ({cut(listed, 400)}). "
        "Choose one with `format`, or name its files."
    )


def read_parts(chosen: Chosen, *, dims: Callable[[], int | None], empty: Empty | None) -> list[Part]:
    """Read the files of a format.

    Args:
        chosen: the format and its files.
        dims: tells the dimension of the images, for files that do not tell that of their points. None: not known.
        empty: meaning of a landmark without coordinates. None: by a data set's own rule, else as the format has it.

    Raises:
        DatasetError: a file is invalid; the message names it, and its line.
    """
    parts = []
    for path in chosen.paths:
        description = description_beside(path)
        rule = empty or (description.empty if description else None)
        annotations = _read(path, chosen.row, dims, rule) if description is None else _described(path, chosen.row, description, rule)
        _check(path, annotations)
        parts.append(Part(path, with_rule(annotations, rule), description))
    if not any(part.annotations.points for part in parts):
        raise DatasetError(f"{_shown(chosen.paths[0])}: holds no annotations of any image.")
    return parts


def _described(path: Path, row: AnnotationFormat, known: Description, empty: Empty | None) -> Annotations:
    """Annotations of a data set, with the names and the frame that its description states."""
    found = read_any(path, Expected(known.names, known.dims, empty), row)
    frame = known.coordinates if found.frame == "stated" else found.frame
    numbered = known.names == tuple(map(str, range(len(known.names))))
    return dataclasses.replace(found, names=found.names or (None if numbered else known.names), frame=frame)


def _read(path: Path, row: AnnotationFormat, dims: Callable[[], int | None], empty: Empty | None) -> Annotations:
    try:
        return read_any(path, Expected(empty=empty), row)
    except DatasetError:
        known_dims = dims()
        if known_dims is None:
            raise
    return read_any(path, Expected(None, known_dims, empty), row)


def description_beside(path: Path) -> Description | None:
    """Description of the data set whose table a file is. None if it is of no data set."""
    place = path.parent / DESCRIPTION
    if not os.path.isfile(place):
        return None
    description = read_description(place)
    return description if (path.parent / description.annotations).resolve() == path.resolve() or _is_table(description, path) else None


def _is_table(description: Description, path: Path) -> bool:
    """Whether a file is another table of the set's landmarks, as of a second rater."""
    return description.annotation_format is None and path.suffix.lower() == Path(description.annotations).suffix.lower()


def _check(path: Path, annotations: Annotations) -> None:
    """Refuse infinite coordinates and numbers of coordinates that no image has."""
    for image_id, points in annotations.points.items():
        where = f"{_shown(path)}, line {annotations.rows.get(image_id, 1)} ({cut(visible(image_id), 40)})"
        if points.ndim != 2 or points.shape[1] not in (2, 3):
            raise DatasetError(f"{where}: expected points of two or three coordinates, received an array {points.shape}.")
        if np.isinf(points).any():
            number = int(np.flatnonzero(np.isinf(points).any(axis=1))[0])
            name = cut(visible(annotations.names[number]), 60) if annotations.names else str(number)
            raise DatasetError(f"{where}: landmark {name}: expected finite numbers, received {points[number].tolist()}.")


def _shown(path: Path) -> str:
    return visible(str(path))
