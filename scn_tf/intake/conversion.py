"""Annotations of one format written in another."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scn_tf.data import endings
from scn_tf.data.annotations import (
    ANNOTATIONS,
    AnnotationFormat,
    Annotations,
    converted,
    format_of,
    merged,
    recognised,
    with_rule,
    write_annotations,
)
from scn_tf.data.dataset import open_dataset
from scn_tf.data.description import read_description
from scn_tf.data.images import is_image
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import ConfigError, DatasetError, WriteError
from scn_tf.intake import parts, writing
from scn_tf.intake.gathering import Gathered, complete_first, decided, gather, in_dataset_frame
from scn_tf.intake.interpretation import PHYSICAL, Asked, copy
from scn_tf.intake.on_demand import FactsOnDemand
from scn_tf.intake.parts import Part
from scn_tf.intake.sources import DESCRIPTION, IMAGES, Found, distinct, search
from scn_tf.messages import cut, visible
from scn_tf.storage import files

DEFAULT = "scn"


class Source(NamedTuple):
    """Annotations to be converted.

    Attributes:
        row: their format.
        annotations: in pixels, mm, or as the file states them if nothing else is known.
        facts: facts of the images, by ID; empty without images.
        how: frame of the file in words.
        unused: names of annotations without an image.
        warnings: what the user should know.
    """

    row: AnnotationFormat
    annotations: Annotations
    facts: Mapping[str, ImageFacts]
    how: str
    unused: list[str]
    warnings: list[str]


def read(path: Path, name: str | None, images: Path | None, asked: Asked) -> Source:
    """Read the annotations of a file or folder.

    Args:
        path: annotation file, folder of annotation files, or folder of a data set.
        name: format; None: by the files.
        images: folder of the images, or one image. A data set has its own.
        asked: options that decide how numbers are read.

    Raises:
        DatasetError: the annotations cannot be read, or their frame is not known.
        ConfigError: an option is invalid, or the format is unknown.
    """
    asked.check()
    if os.path.isfile(path / DESCRIPTION) and name in (None, DEFAULT):
        if images is None and os.path.isdir(path / IMAGES):
            if asked == Asked():
                return _data_set(path)
            images = path / IMAGES
        found, name = _table(path)
    else:
        found = search([path])
    if images is not None:
        found = search([*found.roots, images])
    elif not any(is_image(file) and not recognised(file) for file in found.files):
        return _without_images(found, name, asked)
    return _with_images(gather(found, name, asked), asked)


def _table(root: Path) -> tuple[Found, str]:
    """Annotations of a data set, and their format."""
    description = read_description(root / DESCRIPTION)
    path = root / description.only_table
    return search([path]), format_of(path, description.annotation_format).name


def _data_set(root: Path) -> Source:
    """A whole data set. It states its coordinates, so its images are read only if the other format needs them."""
    dataset = open_dataset(root)
    known = dataset.description
    points = {image_id: values for image_id, values in dataset.landmarks.items() if image_id in dataset.files}
    if not points:
        raise DatasetError(f"{visible(str(dataset.table))}: no row has the name of an image in {visible(str(root / IMAGES))}.")
    numbered = known.names == tuple(map(str, range(len(known.names))))
    images = {image_id: dataset.files[image_id].name for image_id in points}
    names = None if numbered else known.names
    annotations = Annotations(points, dataset.rows, names, known.coordinates, images, absent=dataset.absent)
    how = "mm, LPS" if known.coordinates == "physical" else "pixels"
    unused = [visible(image_id) for image_id in dataset.landmarks if image_id not in dataset.files]
    row = format_of(dataset.table, known.annotation_format)
    return Source(row, annotations, FactsOnDemand(dataset.files, known.dims), f"{how} (as {DESCRIPTION} states)", unused, [])


def _with_images(gathered: Gathered, asked: Asked) -> Source:
    decision = decided(gathered, asked)
    annotations = with_rule(in_dataset_frame(gathered, decision), asked.empty)
    names = {image_id: gathered.files[image_id].name for image_id in annotations.points}
    sizes = {image_id: gathered.looks[image_id].facts.size for image_id in annotations.points}
    unused = [visible(entry.name) for entry in gathered.matched.unused]
    facts = {image_id: look.facts for image_id, look in gathered.looks.items()}
    warnings = [*decision.warnings, *gathered.failed.values()]
    how = f"{decision.how} ({decision.reason})"
    return Source(gathered.row, dataclasses.replace(annotations, images=names, sizes=sizes), facts, how, unused, warnings)


def _without_images(found: Found, name: str | None, asked: Asked) -> Source:
    chosen = parts.choose(found, name, ())
    read_ = parts.read_parts(chosen, dims=lambda: len(asked.axes) if asked.axes else None, empty=asked.empty)
    whole = with_rule(merged(complete_first([(part.path, _under_plain_ids(part)) for part in read_])), asked.empty)
    if copy(asked.set_on) or asked.frame in ("fraction", "percent", "mm") or (asked.y_from and whole.frame != "bottom"):
        raise DatasetError(
            f"{visible(str(found.roots[0]))}: its images are needed to read its coordinates so. Name their folder with `images`."
        )
    if asked.y_from == "top":
        whole = dataclasses.replace(whole, frame="pixel")
    if asked.frame is not None and whole.frame == "stated":
        whole = dataclasses.replace(whole, frame="physical" if asked.frame in PHYSICAL else "pixel")
    first = int(whole.frame == "one-based") if asked.first is None else asked.first
    if whole.frame == "one-based":
        whole = dataclasses.replace(whole, frame="pixel")
    signs = -1.0 if asked.frame == "ras" and whole.frame == "physical" and _states_none(read_) else 1.0
    points = {}
    for image_id, values in whole.points.items():
        points[image_id] = (values[:, ::-1] if asked.reversed else values) - first
        points[image_id][:, :2] *= signs
    frames = {
        "stated": "numbers as written",
        "pixel": "pixels",
        "physical": "mm, LPS",
        "bottom": "pixels, y from the bottom",
        "fraction": "0 to 1",
    }
    how = f"{frames[whole.frame]}, counted from 1" if first else frames[whole.frame]
    return Source(chosen.row, dataclasses.replace(whole, points=points), {}, how, [], [])


def _states_none(read_: Sequence[Part]) -> bool:
    return all(part.annotations.frame == "stated" for part in read_)


def _under_plain_ids(part: Part) -> Annotations:
    """Annotations of a file with IDs that can be names of files: without folders and control characters."""
    own = part.annotations
    plain = [visible(key.replace("/", "_").replace("\\", "_")).replace("\\", "_").strip().lstrip(".") or "image" for key in own.points]
    ids = dict(zip(own.points, distinct(plain), strict=True))

    def under(values: Mapping) -> dict:
        return {ids[key]: value for key, value in values.items() if key in ids}

    return dataclasses.replace(
        own,
        points=under(own.points),
        rows=under(own.rows),
        images=under(own.images),
        sizes=under(own.sizes),
        scores=under(own.scores),
        absent=under(own.absent),
    )


def target(out: Path, name: str | None) -> AnnotationFormat:
    """Format to write: by its name, else by the ending of ``out``; a folder is a data set.

    Raises:
        ConfigError: the name is unknown, or several formats have the ending.
        DatasetError: the format is only read.
    """
    if name is not None:
        row = ANNOTATIONS[name]
    else:
        writable = [row for row in ANNOTATIONS.values() if row.write is not None]
        row = endings.fitting(writable, out) or ANNOTATIONS[DEFAULT]
        length = max((len(ending) for ending in row.endings if out.name.lower().endswith(ending)), default=0)
        others = [one.name for one in writable if any(out.name.lower().endswith(e) and len(e) == length for e in one.endings)]
        if row.name != DEFAULT and len(others) > 1:
            raise ConfigError(f"{visible(str(out))}: may be of format {', '.join(others)}. Name it with `to`.")
    if row.write is None:
        raise DatasetError(f"format {row.name}: is only read, not written.")
    return row


def write(source: Source, out: Path, row: AnnotationFormat) -> list[Path]:
    """Write annotations in a format. Nothing is left half-written.

    Args:
        source: annotations and facts of their images.
        out: file; a folder for formats with one file per image, and for a data set.
        row: the format.

    Returns:
        the files.

    Raises:
        DatasetError: an image is needed and not known, or the format cannot hold the annotations.
        WriteError: a file exists and was not written by scn_tf, or cannot be written.
    """
    annotations = source.annotations
    if row.name == DEFAULT and not out.name.lower().endswith(row.endings):
        return _write_set(source, out)
    as_file = out.name.lower().endswith(row.endings) and not out.is_dir()
    if row.per_image and not as_file:
        return _write_folder(source, out, row)
    if row.per_image and len(annotations.points) > 1:
        raise DatasetError(
            f"{visible(str(out))}: format {row.name} has one file per image, and there are {len(annotations.points)}. Name a folder."
        )
    files.check_writable(out)
    with files.temporary_folder(Path(os.path.abspath(out)).parent, "convert") as temporary:
        _written(temporary if row.per_image else temporary / out.name, source, row, shown=out)
        for path in temporary.iterdir():
            if row.per_image and path.name.lower().endswith(row.endings):  # under the name of its image
                os.rename(path, temporary / out.name)
        return _moved(temporary, out.parent)


def _write_set(source: Source, out: Path) -> list[Path]:
    """A data set without images: the description and the table."""
    annotations = source.annotations
    if annotations.frame == "stated":
        raise DatasetError(
            "A data set states its coordinates, and these are not known: pixels or mm? `frame` pixel or `frame` lps says it."
        )
    if annotations.frame not in ("pixel", "physical"):
        annotations = _in_pixels(annotations, source.facts)
    first = next(iter(annotations.points.values()))
    names = list(annotations.names) if annotations.names else len(first)
    description = {"name": out.resolve().name or "data", "dims": first.shape[1], "landmarks": names, "coordinates": annotations.frame}
    with writing.new_folder(out) as root:
        writing.write_table(root, description, annotations, comment=f"Made by scn-tf convert of {source.row.name}: {visible(source.how)}.")
    return [out / DESCRIPTION, out / writing.TABLE]


def _in_pixels(annotations: Annotations, facts: Mapping[str, ImageFacts]) -> Annotations:
    """Annotations in pixels. The message about a missing image names the option."""
    try:
        return converted(annotations, "pixel", facts)
    except DatasetError as error:
        raise DatasetError(_with_option(str(error), facts)) from None


def _write_folder(source: Source, out: Path, row: AnnotationFormat) -> list[Path]:
    """One file per image, in a folder."""
    missing = not os.path.lexists(out)
    files.make_folder(out)
    try:
        for image_id in source.annotations.points:
            files.check_writable(out / f"{image_id}{row.endings[0]}")
        with files.temporary_folder(out, "convert") as temporary:
            _written(temporary, source, row, shown=out)
            return _moved(temporary, out)
    except BaseException:
        if missing and not any(out.iterdir()):
            out.rmdir()
        raise


def _written(path: Path, source: Source, row: AnnotationFormat, *, shown: Path) -> None:
    """Write to a temporary path; messages show the one that it will have."""
    annotations, facts = source.annotations, source.facts
    if annotations.frame == "stated" and row.writes != "stated":
        raise DatasetError(
            f"format {row.name}: is in {row.writes} coordinates, and those of the input are not known: pixels or mm? `frame` says it; with "
            "`images` it is found."
        )
    try:
        write_annotations(path, annotations, row, facts)
    except DatasetError as error:
        raise DatasetError(_with_option(str(error).replace(str(path), str(shown)), facts)) from None


def _with_option(message: str, facts: Mapping[str, ImageFacts]) -> str:
    return message if facts else f"{message} Name the folder of the images with `images`."


def _moved(temporary: Path, folder: Path) -> list[Path]:
    """Give files their place. What lies in the temporary folder was written whole."""
    done = []
    for path in sorted(temporary.iterdir()):
        place = folder / path.name
        try:
            os.replace(path, place)
        except OSError as error:
            raise WriteError(f"{cut(visible(str(place)))}: cannot be written ({error.strerror or error}).") from None
        done.append(place)
    return done
