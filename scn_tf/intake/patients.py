"""Patients of the images, so that a split keeps the images of one together."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from scn_tf.data.images.dicom.series import dicom_files
from scn_tf.data.images.readers.dicom import DICOM
from scn_tf.data.patients import grouped, of_name
from scn_tf.errors import ConfigError, ImageError
from scn_tf.messages import short

BIDS = re.compile(r"(?:^|[_/\\])(sub-[0-9A-Za-z]+)(?=[_/\\.]|$)")
FOLDER = re.compile(r"(?i)(?:patient|pat|subject|subj|case|animal|specimen)[-_ ]?\w*\d\w*|[ps]\d+")


class Patients(NamedTuple):
    """Patient of each image, and what tells it; ``source`` is empty if every image counts as a patient."""

    of: dict[str, str]
    source: str

    @property
    def number(self) -> int:
        """Number of patients."""
        return len(set(self.of.values()))


def patients(paths: Mapping[str, Path], pattern: str | None) -> Patients:
    """Find the patient of each image.

    Args:
        paths: image ID -> file, or folder of a DICOM series.
        pattern: regular expression that is searched in the ID. Its first group, else all that it matches, is the patient.

    Raises:
        ConfigError: the pattern is no regular expression, or matches no ID.
    """
    if pattern is not None:
        return _by_pattern(paths, pattern)
    for source, of in SOURCES.items():
        groups = grouped({image_id: of(image_id, path) for image_id, path in paths.items()})
        if groups:
            together = {image_id: patient for patient, ids in groups.items() for image_id in ids}
            return Patients({image_id: together.get(image_id, image_id) for image_id in paths}, source)
    return Patients({image_id: image_id for image_id in paths}, "")


def _by_pattern(paths: Mapping[str, Path], pattern: str) -> Patients:
    try:
        matches = {image_id: re.search(pattern, image_id) for image_id in paths}
    except re.error as error:
        raise ConfigError(f"`patient`: {short(pattern, 80)} is no regular expression ({error}).") from None
    without = [image_id for image_id, match in matches.items() if match is None]
    if len(without) == len(matches):
        raise ConfigError(f"`patient`: {short(pattern, 80)} matches no image ID, such as {short(without[0], 60)}.")
    of = {image_id: (match[1] if match.re.groups else match[0]) or image_id if match else image_id for image_id, match in matches.items()}
    return Patients(of, f"the pattern {short(pattern, 60)}")


def _of_dicom(image_id: str, path: Path) -> str | None:
    file = path
    if path.is_dir():
        file = next(iter(dicom_files(path)), path)
    try:
        with open(file, "rb") as content:
            if not DICOM.begins(content.read(DICOM.head_size)):
                return None
        from scn_tf.data.images.dicom.file import open_file  # pydicom takes a third of a second, which most images do not need

        return str(open_file(file, headers=True).get("PatientID") or "").strip() or None
    except (ImageError, OSError, ValueError):
        return None


def _of_bids(image_id: str, path: Path) -> str | None:
    match = BIDS.search(path.as_posix())
    return match[1] if match else None


def _of_folder(image_id: str, path: Path) -> str | None:
    return next((part for part in reversed(path.parts[:-1]) if FOLDER.fullmatch(part)), None)


def _of_id(image_id: str, path: Path) -> str | None:
    return of_name(image_id)


SOURCES: dict[str, Callable[[str, Path], str | None]] = {
    "PatientID of the DICOM files": _of_dicom,
    "sub-... in names and folders": _of_bids,
    "the folders": _of_folder,
    "the IDs without side, view or number at their end": _of_id,
}
