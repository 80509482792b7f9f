"""NIfTI-1 and NIfTI-2, single files and pairs of header and data, with nibabel's headers.

ITK's reader is not used. It opens ``x.nii`` instead of ``x.nii.gz``, and fills missing pixels with zeros.
"""

import gzip
import itertools
import math
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scn_tf.data.images.image import Stored, check_channels, check_count, frame
from scn_tf.data.images.row import ImageFormat
from scn_tf.errors import DataWarning, ImageError

if TYPE_CHECKING:
    import nibabel  # takes a fifth of a second: imported where a file is read

MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1e3, "micron": 1e-3}
SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
MAX_HEADER = 2**24  # bytes before the data: header and extensions
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(path: Path) -> Stored:
    """Read a ``.nii``, ``.nii.gz`` or ``.hdr`` file.

    Raises:
        ImageError: the file is damaged or cut short, an Analyze file without orientation, or has several volumes, complex pixels,
            or a frame that scales or shears.
    """
    name = str(path)
    header = _header(path)
    stated = [int(side) for side in header.get_data_shape()]
    channels = stated[4] if len(stated) == 5 and stated[3] == 1 else 1
    if any(side > 1 for side in stated[3:4]) or any(side > 1 for side in stated[5:]):
        raise ImageError(f"{name}: holds several volumes (size {tuple(stated)}); save the one to use by itself.")
    sides = [*stated, 1, 1, 1][:3]
    dtype = header.get_data_dtype()
    colours = len(dtype.names) if dtype.names else channels  # RGB24 and RGBA32 are records
    if dtype.kind == "c":
        raise ImageError(f"{name}: expected real pixels, received complex ones ({dtype}); save magnitude or phase by itself.")
    check_count(math.prod(sides) * colours, name, planes=max(1, sides[2]))
    check_channels(colours, name)
    values = _values(path, header, math.prod(sides) * channels * dtype.itemsize)
    array = np.frombuffer(values, dtype).reshape([*sides, channels], order="F")
    if dtype.names:
        array = np.stack([array[..., 0][field] for field in dtype.names], axis=-1)
    slope, intercept = header.get_slope_inter()
    if slope is not None and not dtype.names and (slope, intercept) != (1.0, 0.0):
        array = array.astype("float64") * slope + (intercept or 0.0)
    spacing, matrix = _frame(header, name)
    return Stored(np.moveaxis(array, (0, 1, 2), (2, 1, 0)), tuple(spacing), matrix)


def _unpacked(path: Path, size: int, *, to_end: bool = False) -> bytes:
    """At most ``size`` unpacked bytes of a file. With ``to_end``, the rest of a packed file is also read, which tests its checksum."""
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return raw.read(size)
            with gzip.GzipFile(fileobj=raw) as file:
                content = file.read(size)
                rest = itertools.repeat(None, MAX_HEADER // 2**18) if to_end else ()
                for _ in rest:
                    if not file.read(2**20):
                        break
                return content
    except (EOFError, zlib.error, OSError) as error:
        raise ImageError(f"{path}: is cut short or damaged ({error}).") from None


def _header(path: Path) -> "nibabel.Nifti1Header":
    import nibabel

    content = _unpacked(path, 540)
    for size, kind in ((348, nibabel.Nifti1Header), (540, nibabel.Nifti2Header)):
        if content[:4] in (size.to_bytes(4, "little"), size.to_bytes(4, "big")) and len(content) >= size:
            if kind is nibabel.Nifti1Header and content[344:348] not in (b"n+1\0", b"ni1\0"):
                raise ImageError(f"{path}: is an Analyze file, which states no orientation; convert it to NIfTI.")
            return kind(content[:size], check=False)
    raise ImageError(f"{path}: is no NIfTI file, or cut short.")


def _values(path: Path, header: "nibabel.Nifti1Header", size: int) -> memoryview:
    """The ``size`` bytes of the pixels."""
    magic = header["magic"].item()
    single = magic.startswith((b"n+1", b"n+2"))
    offset = int(header["vox_offset"]) if single else max(0, int(header["vox_offset"]))
    if not 0 <= offset <= MAX_HEADER or (single and offset < int(header["sizeof_hdr"])):
        raise ImageError(f"{path}: is damaged: its pixels would begin at byte {offset}.")
    data = path if single else _partner(path)
    content = _unpacked(data, offset + size, to_end=True)
    if len(content) < offset + size:
        raise ImageError(f"{data}: is cut short: it holds {max(0, len(content) - offset):,} of the {size:,} bytes that its header states.")
    return memoryview(content)[offset : offset + size]


def _partner(path: Path) -> Path:
    """Data file of a ``.hdr``."""
    found = [place for ending in (".img", ".img.gz") if (place := path.with_suffix(ending)).is_file()]
    if len(found) != 1:
        raise ImageError(f"{path}: expected its pixels in {path.stem}.img or {path.stem}.img.gz, found {len(found)} of them.")
    return found[0]


def _frame(header: "nibabel.Nifti1Header", name: str) -> tuple[np.ndarray, np.ndarray]:
    """Spacing (3,) and matrix (4, 4) to mm, LPS. A file may state two transforms; the choice is that of ITK and 3D Slicer."""
    unit = header.get_xyzt_units()[0]
    if unit not in MM_PER_UNIT:
        raise ImageError(f"{name}: its header states lengths in {unit!r}; expected mm.")
    scale = np.diag([*[MM_PER_UNIT[unit]] * 3, 1.0])
    zooms = np.array([float(zoom) for zoom in header["pixdim"][1:4]])
    zooms = np.where(np.arange(3) < len(header.get_data_shape()), zooms, np.where(zooms > 0, zooms, 1.0))
    if not (np.isfinite(zooms) & (zooms > 0)).all():
        raise ImageError(f"{name}: its header states a pixel size of {zooms.tolist()}.")
    if header["pixdim"][0] == 0:  # the standard's word for it
        header["pixdim"][0] = 1
    codes = int(header["qform_code"]), int(header["sform_code"])
    transforms = {}
    if codes[0] > 0:
        try:
            transforms["qform"] = header.get_qform()
        except Exception:  # nibabel's own types, for quaternions that are none
            raise ImageError(f"{name}: is damaged: its qform is no rotation.") from None
    if codes[1] > 0:
        transforms["sform"] = header.get_sform()
    if not transforms:
        if header.get_data_shape()[2:3] > (1,):
            text = "states no orientation; its axes are taken to point left, posterior, superior"
            warnings.warn(f"{name}: {text}.", DataWarning, stacklevel=2)
        return zooms * scale[0, 0], scale @ np.diag([*zooms, 1.0])
    chosen = "sform" if "qform" not in transforms or codes[1] == SCANNER else "qform"
    if len(transforms) == 2 and not np.allclose(transforms["qform"], transforms["sform"], atol=1e-2 * zooms.max(), rtol=1e-3):
        import nibabel

        if nibabel.aff2axcodes(transforms["qform"]) != nibabel.aff2axcodes(transforms["sform"]):
            raise ImageError(f"{name}: its qform and sform contradict each other in which way its axes point; set one of them to code 0.")
        warnings.warn(f"{name}: its qform and sform differ; the {chosen} is taken, as by ITK and 3D Slicer.", DataWarning, stacklevel=2)
    matrix = transforms[chosen]
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or not np.allclose(lengths, zooms, rtol=1e-2, atol=0):
        raise ImageError(
            f"{name}: its {chosen} states pixels of {np.round(lengths, 4).tolist()} mm, its pixdim {np.round(zooms, 4).tolist()}; "
            "which of them is right must be set in the file."
        )
    matrix = scale @ LPS_FROM_RAS @ matrix
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    return zooms * scale[0, 0], frame(matrix[:3, 3], lengths, matrix[:3, :3] / lengths, name)


NIFTI = ImageFormat("NIfTI", (".nii", ".nii.gz", ".hdr"), read, headers=(".hdr",), rank=50)
