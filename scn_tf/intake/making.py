"""A data set from the annotations of any tool: plan it, check it, write it."""

import dataclasses
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scn_tf.data import images
from scn_tf.data.annotations import Annotations, with_rule
from scn_tf.data.dataset import FEW_OUTSIDE, open_dataset
from scn_tf.data.description import MAX_NAME
from scn_tf.errors import ConfigError, DatasetError
from scn_tf.intake import sides, summary, writing
from scn_tf.intake.decision import Decision
from scn_tf.intake.gathering import Gathered, decided, gather, in_dataset_frame, where
from scn_tf.intake.interpretation import Asked
from scn_tf.intake.patients import Patients, patients
from scn_tf.intake.placeholders import without_placeholders
from scn_tf.intake.sources import Found, search
from scn_tf.intake.splits import split
from scn_tf.intake.writing import Placing
from scn_tf.messages import cut, visible
from scn_tf.types import PathName

DECIMALS = 9  # of written coordinates: far below any pixel, and without the noise of a conversion
KEPT = ("spacing_mm", "normalization", "channels", "flip_pairs", "measurements")  # of the description of a data set that is split again
COLOURED = 0.5  # share of the images with colours from which the set has three channels


@dataclasses.dataclass(frozen=True)
class NewSet:
    """A data set as it will be written.

    Attributes:
        found: files of the sources.
        gathered: annotations and images.
        decision: frame of the numbers.
        annotations: in the frame of the set.
        description: keys of ``dataset.yaml``.
        splits: name -> image IDs.
        patients: what is kept together.
        seed: of the splits.
        placeholders: number of points such as -1,-1 that count as none.
    """

    found: Found
    gathered: Gathered
    decision: Decision
    annotations: Annotations
    description: dict[str, object]
    splits: dict[str, list[str]]
    patients: Patients
    seed: int
    placeholders: int

    def lines(self) -> list[str]:
        """What was understood, one line per fact."""
        return summary.lines(self)

    def warnings(self) -> list[str]:
        """What the user should know before training."""
        return [*self.decision.warnings, *summary.warnings(self)]


def plan(
    sources: Sequence[PathName],
    out: Path,
    *,
    format: str | None = None,
    asked: Asked = Asked(),  # noqa: B008  (frozen)
    seed: int = 0,
    patient: str | None = None,
    spacing: Sequence[float] | None = None,
) -> NewSet:
    """Look at images and annotation files, and decide everything. Nothing is written.

    Args:
        sources: image files, annotation files and folders.
        out: folder of the data set, which must not exist yet or be empty.
        format: format of the annotations; None: by the files.
        asked: options that decide how numbers are read.
        seed: seed of the splits.
        patient: regular expression that finds the patient in an ID; None: by DICOM, names and folders.
        spacing: (d,) mm per pixel (x, y[, z]) of images that state none or a wrong one.

    Raises:
        DatasetError: annotations and images cannot be used together, or something is ambiguous. The message names the option.
        ImageError: no image can be read.
        WriteError: ``out`` exists.
        ConfigError: an option is invalid.
    """
    asked.check()
    writing.check_new(out)
    found = search(sources)
    gathered = gather(found, format, asked)
    raw, placeholders = without_placeholders(gathered.raw)
    gathered = gathered._replace(raw=with_rule(raw, asked.empty))
    if spacing is not None:
        images.checked_spacing(list(spacing), gathered.dims, "`spacing`")
        asked = dataclasses.replace(asked, spacing=tuple(map(float, spacing)))
    decision = decided(gathered, asked)
    _check_points(gathered, decision)
    placed = in_dataset_frame(gathered, decision)
    annotations = dataclasses.replace(placed, points={image_id: np.round(points, DECIMALS) for image_id, points in placed.points.items()})
    if seed < 0:
        raise ConfigError(f"`seed`: expected a number from 0, received {seed}.")
    grouped = patients(gathered.files, patient)
    description = _description(out, gathered, annotations, spacing)
    return NewSet(found, gathered, decision, annotations, description, split(grouped.of, seed), grouped, seed, placeholders)


def write(planned: NewSet, out: Path, *, placing: Placing = "auto") -> None:
    """Write a planned data set, whole or not at all. It is opened and checked before it gets its name.

    Raises:
        WriteError: ``out`` exists, or the disk is full or not writable.
        DatasetError: landmarks lie far outside their images.
    """
    with writing.new_folder(out) as root:
        names = ", ".join(dict.fromkeys(part.path.name for part in planned.gathered.parts[:3]))
        more = " ..." if len(planned.gathered.parts) > 3 else ""
        writing.write_set(
            root,
            planned.description,
            planned.annotations,
            comment=visible(f"Made by scn-tf init of {names}{more} ({planned.gathered.row.name}): {planned.decision.how}."),
            splits=planned.splits,
            pictures=planned.gathered.files,
            placing=placing,
        )
        with warnings.catch_warnings(record=True) as caught:
            try:
                _check(root, planned)
            except DatasetError as error:
                raise DatasetError(str(error).replace(str(root), str(out))) from None
    for warning in caught:  # of the folder under its final name
        warnings.warn(str(warning.message).replace(str(root), str(out)), warning.category, stacklevel=2)


def _check(root: Path, planned: NewSet) -> None:
    """Open the written set as a training does."""
    dataset = open_dataset(root)
    ids = {image_id for name in planned.splits for image_id in dataset.split(name)}
    if ids != set(planned.annotations.points):
        raise DatasetError(f"{root}: the written splits lack images. Please report this.")
    for image_id in ids:
        dataset.truth_in_array(image_id, planned.gathered.looks[image_id].blank)
    for image_id, path in planned.gathered.files.items():
        if writing.data_files(path):  # which may have found another place
            dataset.read(image_id)


def _check_points(gathered: Gathered, decision: Decision) -> None:
    """Refuse images whose points lie outside, as a training does later.

    Raises:
        DatasetError: the message names the file, the line and the image.
    """
    witness = gathered.witness()
    for image_id in gathered.raw.points:
        pixels = witness.pixels(image_id, decision.how)
        size = np.array(gathered.looks[image_id].facts.size)
        with np.errstate(invalid="ignore"):
            outside = ((pixels < -0.5) | (pixels > size - 0.5)).any(axis=1)
            far = ((pixels < -size) | (pixels > 2 * size)).any(axis=1)
        present = np.isfinite(pixels).all(axis=1)
        if far.any() or outside.sum() > max(present.sum() / 2, FEW_OUTSIDE):
            first = int(np.flatnonzero(far if far.any() else outside)[0])
            names = gathered.raw.names
            name = cut(visible(names[first]), 60) if names else str(first)
            raise DatasetError(
                f"{where(gathered.raw, image_id)}: {outside.sum()} of the {present.sum()} landmarks lie outside the image of "
                f"{' x '.join(map(str, size))} pixels, such as {name} at pixel {np.round(pixels[first], 1).tolist()}. "
                "Do they belong to another image? Correct them, or leave them out if they are not in this one."
            )


def _description(out: Path, gathered: Gathered, annotations: Annotations, spacing: Sequence[float] | None) -> dict[str, object]:
    """Keys of ``dataset.yaml``."""
    name = re.sub(r"\s+", " ", visible(out.resolve().name)).strip()[:MAX_NAME] or "data"
    count = len(next(iter(annotations.points.values())))
    names = None if annotations.names is None else [_clean(text, number) for number, text in enumerate(annotations.names)]
    values: dict[str, object] = {"name": name, "dims": gathered.dims, "landmarks": names or count, "coordinates": annotations.frame}
    known = [part.description for part in gathered.parts]
    before = known[0] if known and all(one == known[0] for one in known) else None  # of a data set whose images are split again
    if before is not None:
        stated = before.model_dump(mode="json", exclude_unset=True)
        values |= {key: stated[key] for key in KEPT if key in stated}
    if spacing is not None:
        values["spacing_mm"] = [float(mm) for mm in spacing]
    if before is None and gathered.dims == 2 and np.mean([look.coloured for look in gathered.looks.values()]) > COLOURED:
        values["channels"] = 3
    if names and "flip_pairs" not in values and (pairs := sides.flip_pairs(names)):
        values["flip_pairs"] = [list(pair) for pair in pairs]
    return values


def _clean(name: str, number: int) -> str:
    """A landmark's name in one printable line."""
    return visible(" ".join(name.split()))[:MAX_NAME].strip() or f"landmark {number}"
