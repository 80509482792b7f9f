"""DICOM files for tests, written by pydicom."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid


def write(path: Path, pixels: np.ndarray, *, kind: str = CTImageStorage, packing: str | None = None, **tags: object) -> Path:
    """One image (H, W) or (H, W, 3); ``tags`` come last and may contradict the pixels."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = kind
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in tags.items():
        setattr(data, name, value)
    if packing is not None:
        data.compress(packing, generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def write_series(folder: Path, volume: np.ndarray, places: list[float], *, names: list[str] | None = None, **tags: object) -> Path:
    """A slice (H, W) of a volume per file; ``places`` are mm along the normal."""
    axes = tags.pop("ImageOrientationPatient", [1, 0, 0, 0, 1, 0])
    normal = np.cross(axes[:3], axes[3:])
    series = tags.pop("SeriesInstanceUID", generate_uid())
    names = names or [f"IM{number:04d}" for number in range(len(places))]
    for name, pixels, place in zip(names, volume, places, strict=True):
        origin = (np.array([1.0, 2.0, 3.0]) + place * normal).tolist()
        geometry = dict(ImageOrientationPatient=axes, ImagePositionPatient=origin, PixelSpacing=[0.5, 0.7])
        write(folder / name, pixels, SeriesInstanceUID=series, **{**geometry, **tags})
    return folder


def write_enhanced(path: Path, volume: np.ndarray, places: list[float]) -> Path:
    """One file of several frames that states their places in its functional groups."""
    write(path, volume[0], kind=EnhancedMRImageStorage)
    data = pydicom.dcmread(path)
    data.NumberOfFrames, data.PixelData = len(places), volume.tobytes()
    shared, measures, axes = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, axes.ImageOrientationPatient = [0.5, 0.7], [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [axes]
    data.SharedFunctionalGroupsSequence, frames = [shared], []
    for place in places:
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = [1, 2, 3 + place]
        group.PlanePositionSequence = [position]
        frames.append(group)
    data.PerFrameFunctionalGroupsSequence = frames
    data.save_as(path)
    return path
