"""The row of DICOM; :mod:`scn_tf.data.images.dicom` reads it."""

from pathlib import Path

from scn_tf.data.images.image import Stored
from scn_tf.data.images.row import ImageFormat


def read(path: Path) -> Stored:
    """Read a DICOM file; see :func:`scn_tf.data.images.dicom.file.read`."""
    from scn_tf.data.images.dicom import file  # pydicom takes a third of a second, which most images do not need

    return file.read(path)


DICOM = ImageFormat(
    "DICOM", (".dcm",), read, magic=(b"DICM",), magic_at=128, magic_required=False, without_ending=True, isolated=True, rank=30
)
