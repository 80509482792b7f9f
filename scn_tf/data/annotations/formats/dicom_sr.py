"""DICOM structured reports: one Measurement Report (TID 1500) per image, with one group per landmark.

Points of a 2D image are SCOORD in the source instance, points of a volume SCOORD3D in the patient's coordinates. The group's tracking
identifier is the landmark's name. Coordinates are float32, as the standard requires.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scn_tf.data.annotations.conversion import converted
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.environment.extras import needs_extra
from scn_tf.errors import DatasetError, ImageError
from scn_tf.messages import cut, visible
from scn_tf.storage import files, ownership
from scn_tf.types import Array

if TYPE_CHECKING:
    import pydicom

MAX_BYTES = 2**26
MAX_ITEMS = 100_000  # of a report
SCHEME = "99SCN_TF"  # private codes: landmarks, and their score
SCORE = "score"
REPORTS = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.88\.\d+")  # SOP classes of structured reports
HALF = 0.5  # DICOM counts from the corner of the first pixel, we from its centre
MEASUREMENTS, GROUP, IDENTIFIER = ("126010", "DCM"), ("125007", "DCM"), ("112039", "DCM")
IMAGING = ("363679005", "SCT", "Imaging")
MAX_MEANING, MAX_CODE = 64, 16  # characters of a code's text and value


def code_of(name: str) -> str:
    """Code value of a landmark in :data:`SCHEME`: its name, or ``L`` and 15 digits of its SHA-256 if that is no valid code."""
    if re.fullmatch(rf"[A-Za-z0-9_.-]{{1,{MAX_CODE}}}", name) and name != SCORE:
        return name
    return "L" + hashlib.sha256(name.encode(errors="replace")).hexdigest()[: MAX_CODE - 1]


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file is a DICOM structured report."""
    return head[128:132] == b"DICM" and REPORTS.search(head[:2048]) is not None


def read(path: Path, expected: Expected) -> Annotations:
    """Read the points of a report. Other content is ignored.

    Raises:
        DatasetError: the file is no report, is damaged, or has no points, a name twice, or points of several images.
    """
    data = _opened(path)
    points: dict[str, Array] = {}
    scores: dict[str, float] = {}
    sources: set[str] = set()
    for group in _groups(data):
        name, point, score, source = _point(group)
        if point is None:
            continue
        if name is None:
            raise DatasetError(f"{path}: a point has no Tracking Identifier, which names the landmark.")
        if name in points:
            raise DatasetError(f"{path}: landmark {cut(visible(name), 60)} appears twice.")
        points[name], scores[name] = point, score
        if source is not None:
            sources.add(source)
    if not points:
        raise DatasetError(f"{path}: holds no points; expected a Measurement Report (TID 1500) with groups of type POINT.")
    if len({len(point) for point in points.values()}) > 1 or len(sources) > 1:
        raise DatasetError(f"{path}: has points of several images; expected one report per image.")
    names = expected.names if expected.names is not None and {*points} <= {*expected.names} else tuple(points)
    dims = len(next(iter(points.values())))
    none = np.full(dims, np.nan)
    return Annotations(
        points={path.stem: np.array([points.get(name, none) for name in names])},
        rows={path.stem: 1},
        names=names,
        frame="pixel" if dims == 2 else "physical",
        images=dict.fromkeys([path.stem] if sources else [], next(iter(sources), "")),
        scores={path.stem: np.array([scores.get(name, np.nan) for name in names])},
    )


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write the report of one image. Missing points are left out, and so are points outside a 2D image, which the standard excludes.

    Raises:
        DatasetError: the image is not known, is no DICOM image, or lacks what a report refers to.
        MissingExtra: highdicom is not installed.
        WriteError: the file cannot be written.
    """
    (image_id,) = annotations.points
    if image_id not in facts:
        raise DatasetError(f"{cut(visible(image_id), 60)}: a DICOM report refers to its image, which was not found.")
    known = facts[image_id]
    sources = _sources(known)
    with needs_extra("DICOM reports", "highdicom"):
        import highdicom  # noqa: F401
    from scn_tf.data.annotations.formats import _dicom_report

    volume = len(known.size) == 3
    placed = converted(annotations, "physical" if volume else "pixel", {image_id: known})
    points = placed.points[image_id] + (0.0 if volume else HALF)
    names = annotations.names or tuple(map(str, range(len(points))))
    scores = annotations.scores.get(image_id, np.full(len(points), np.nan))
    lowest, highest = (-np.inf, np.inf) if volume else (0.0, np.asarray(known.size, float))
    found = [
        _dicom_report.Landmark(name, point, float(score))
        for name, point, score in zip(names, points, scores, strict=True)
        if np.isfinite(point).all() and (point >= lowest).all() and (point <= highest).all()
    ]
    if not found:
        raise DatasetError(f"{known.path}: no landmark is in the image, so there is no report to write.")
    try:
        report = _dicom_report.build(found, sources, volume=volume)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # tags of the source that are missing or invalid
        raise DatasetError(f"{known.path}: lacks or has invalid tags that a DICOM report needs ({visible(str(error))[:200]}).") from None
    report.file_meta.ImplementationVersionName = ownership.IMPLEMENTATION
    with files.replaced(path) as temporary:
        report.save_as(temporary, enforce_file_format=True)


def _sources(facts: ImageFacts) -> list["pydicom.Dataset"]:
    """Headers of the DICOM files of an image, in order of their names."""
    from scn_tf.data.images.dicom import file, series  # pydicom takes a third of a second

    if facts.path.is_dir():
        inside = series.content(facts.path).series
        paths = inside.get(facts.series, []) if facts.series is not None else [path for paths in inside.values() for path in paths]
    else:
        paths = [facts.path] if series.is_dicom(facts.path) else []
    if not paths:
        raise DatasetError(
            f"{facts.path}: is no DICOM image, and a DICOM report refers to one. Write another format, such as slicer or coco, "
            "or convert the image to DICOM first."
        )
    try:
        return [file.open_file(path, headers=True) for path in paths]
    except ImageError as error:
        raise DatasetError(str(error)) from None


def _opened(path: Path) -> "pydicom.Dataset":
    from scn_tf.data.images.dicom import file

    try:
        if path.stat().st_size > MAX_BYTES:
            raise DatasetError(f"{path}: has more than {MAX_BYTES:,} bytes; reports are smaller.")
        data = file.open_file(path, headers=True)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    except ImageError as error:
        raise DatasetError(str(error)) from None
    if not REPORTS.fullmatch(str(data.get("SOPClassUID", "")).encode()):
        raise DatasetError(f"{path}: is no DICOM structured report.")
    return data


def _groups(data: "pydicom.Dataset") -> Iterator["pydicom.Dataset"]:
    """Measurement groups of a report."""
    count = 0
    for part in data.get("ContentSequence") or []:
        if _name(part) != MEASUREMENTS:
            continue
        for group in part.get("ContentSequence") or []:
            count += 1
            if count > MAX_ITEMS:
                raise DatasetError(f"a report has more than {MAX_ITEMS:,} groups.")
            if _name(group) == GROUP:
                yield group


def _point(group: "pydicom.Dataset") -> tuple[str | None, Array | None, float, str | None]:
    """(name, point (d,) in our convention or None, score or NaN, UID of the source image or None) of a group."""
    name, point, score, source = None, None, np.nan, None
    for item in group.get("ContentSequence") or []:
        kind = str(item.get("ValueType", ""))
        if _name(item) == IDENTIFIER and kind == "TEXT":
            name = str(item.get("TextValue", ""))
        elif kind in ("SCOORD", "SCOORD3D") and str(item.get("GraphicType", "")) == "POINT":
            values = np.array(item.get("GraphicData"), "float64").ravel()
            if values.shape != ((2,) if kind == "SCOORD" else (3,)):
                raise DatasetError(f"a point has {values.size} coordinates.")
            point = values - (HALF if kind == "SCOORD" else 0.0)
            for image in item.get("ContentSequence") or []:
                for reference in image.get("ReferencedSOPSequence") or []:
                    source = str(reference.get("ReferencedSOPInstanceUID", "")) or None
        elif kind == "NUM" and _name(item) == (SCORE, SCHEME):
            score = _number(item)
    return name, point, score, source


def _number(item: "pydicom.Dataset") -> float:
    values = item.get("MeasuredValueSequence") or []
    return float(values[0].get("NumericValue", np.nan)) if len(values) else np.nan


def _name(item: Any) -> tuple[str, str]:
    concepts = item.get("ConceptNameCodeSequence") or []
    return (str(concepts[0].get("CodeValue", "")), str(concepts[0].get("CodingSchemeDesignator", ""))) if len(concepts) else ("", "")


DICOM_SR = AnnotationFormat(
    name="dicom-sr",
    endings=(".dcm",),
    description="DICOM structured report (TID 1500), one per image: points in the image's or the patient's coordinates",
    read=read,
    write=write,
    per_image=True,
    recognises=recognises,
    rank=200,
)
