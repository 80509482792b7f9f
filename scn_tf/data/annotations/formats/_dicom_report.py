"""A Measurement Report (TID 1500) of landmarks, built by highdicom. Its import takes a second, so only writing imports it."""

import datetime
from collections.abc import Sequence
from typing import NamedTuple

import highdicom
import numpy as np
import pydicom
from highdicom import sr
from pydicom.sr.coding import Code

from scn_tf import __version__
from scn_tf.data.annotations.formats.dicom_sr import IMAGING, MAX_MEANING, SCHEME, SCORE, code_of
from scn_tf.errors import DatasetError
from scn_tf.messages import visible
from scn_tf.types import Array

PROGRAM = "scn_tf"
CHARACTERS = "ISO_IR 192"  # UTF-8: names of landmarks may be in any language
# Tags that the report copies; a source without them is read, as if they were empty.
COPIED = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime")
REFERRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class Landmark(NamedTuple):
    """A landmark's name, point (d,) in DICOM's coordinates, and score or NaN."""

    name: str
    point: Array
    score: float


def build(landmarks: Sequence[Landmark], sources: Sequence[pydicom.Dataset], *, volume: bool) -> pydicom.Dataset:
    """Build a report.

    Args:
        landmarks: points (column, row) from the corner of the first pixel, or (x, y, z) mm of the patient's coordinates.
        sources: headers of the image's files.
        volume: whether points are in the patient's coordinates.

    Raises:
        DatasetError: a source lacks what a report refers to.
    """
    sources = [_completed(source) for source in sources]
    frame = sources[0].get("FrameOfReferenceUID")
    if volume and not frame:
        raise DatasetError(f"{_file(sources[0])}: states no FrameOfReferenceUID, so points cannot be in the patient's coordinates.")
    algorithm = sr.AlgorithmIdentification(name=PROGRAM, version=__version__)
    groups = [
        sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=highdicom.UID(), identifier=one.name),
            referenced_region=_region(one.point, sources[0], str(frame) if volume else None),
            finding_type=Code(code_of(one.name), SCHEME, visible(one.name)[:MAX_MEANING] or code_of(one.name)),
            algorithm_id=algorithm,
            measurements=[_score(one.score)] if np.isfinite(one.score) else None,
        )
        for one in landmarks
    ]
    device = sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=pydicom.uid.generate_uid(entropy_srcs=[PROGRAM, __version__]), name=PROGRAM, manufacturer_name=PROGRAM, model_name=PROGRAM
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=Code(*IMAGING),
        imaging_measurements=groups,
        title=Code("126000", "DCM", "Imaging Measurement Report"),
    )
    kind = sr.Comprehensive3DSR if volume else sr.ComprehensiveSR
    return kind(
        evidence=sources,
        content=content,
        series_instance_uid=highdicom.UID(),
        series_number=_number(sources[0]),
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=PROGRAM,
        is_complete=True,
        manufacturer_model_name=PROGRAM,
        software_versions=__version__,
        device_serial_number="0",
        series_description="Landmarks",
        specific_character_set=CHARACTERS,
        content_date=datetime.date.today(),
    )


def _completed(source: pydicom.Dataset) -> pydicom.Dataset:
    """A source with empty tags for those that it may lack.

    Raises:
        DatasetError: it lacks an identity.
    """
    for key in REFERRED:
        if not source.get(key):
            raise DatasetError(f"{_file(source)}: states no {key}, by which a DICOM report refers to it.")
    for key in COPIED:
        if key not in source:
            setattr(source, key, "")
    return source


def _region(point: Array, source: pydicom.Dataset, frame: str | None) -> sr.ImageRegion | sr.ImageRegion3D:
    """Region of a single point: in the frame of reference if there is one, else in the source."""
    data = np.asarray(point, float)[np.newaxis]
    if frame is not None:
        return sr.ImageRegion3D(sr.GraphicTypeValues3D.POINT, data, frame_of_reference_uid=frame)
    frames = [1] if source.get("NumberOfFrames") else None
    image = sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID, referenced_frame_numbers=frames)
    return sr.ImageRegion(sr.GraphicTypeValues.POINT, data, source_image=image)


def _score(value: float) -> sr.Measurement:
    return sr.Measurement(
        name=Code(SCORE, SCHEME, "Score of the landmark"), value=float(f"{value:.6g}"), unit=Code("1", "UCUM", "no units")
    )


def _number(source: pydicom.Dataset) -> int:
    """Number of the report's series."""
    try:
        return min(int(source.get("SeriesNumber") or 0) + 1000, 2**31 - 1)
    except (TypeError, ValueError):
        return 1000


def _file(source: pydicom.Dataset) -> str:
    return str(getattr(source, "filename", "the DICOM image"))
