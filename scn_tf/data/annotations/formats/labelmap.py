"""Label maps: one volume or picture per image, with one label per landmark. A landmark is the centroid of its voxels.

Label maps are exact to the voxel: a point that is written moves to the centre of its voxel.
"""

import gzip
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scn_tf import geometry
from scn_tf.data.annotations.formats import _label_names
from scn_tf.data.annotations.gathering import MAX_LANDMARKS, gathered, image_size, names_of, only_id, present
from scn_tf.data.annotations.identities import of_file
from scn_tf.data.annotations.json_items import shown
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.data.images.formats import read_stored
from scn_tf.data.images.image import Image, from_stored
from scn_tf.errors import DatasetError, ImageError
from scn_tf.storage import files, ownership
from scn_tf.types import Array

ENDINGS = (".labels.nii.gz", ".nii.gz", ".nii", ".nrrd", ".mha")
MOST_LABELLED = 0.5  # share of the voxels: more is an image
# Masks and segmentations are left out: they are of organs more often than of landmarks.
NAMED = re.compile(r"(^|[._ -])(labels?|labelmap|label_map|landmarks?|fiducials?|lms?)([._ -])", re.IGNORECASE)
INTENT_AT, LABEL_INTENT = 68, 1002  # of a NIfTI header
HEADER = 348  # bytes


def read(path: Path, expected: Expected) -> Annotations:
    """Read a label map: centroids in mm, LPS, or in pixels if the file states no frame.

    Names come from a table beside it, see :func:`scn_tf.data.annotations.formats._label_names.table_beside`. Without one, landmarks
    are called by their numbers, from 1 to the largest.

    Raises:
        DatasetError: the file is no label map, is damaged, or has a label that the table does not name.
    """
    image_id = of_file(path, ENDINGS)
    try:
        stored = read_stored(path)
        if stored.array.shape[-1] != 1:
            raise DatasetError(f"{path}: expected one label per voxel, received colours.")
        dims = 2 if stored.array.ndim == 3 or stored.array.shape[0] == 1 else 3
        image = from_stored(stored, dims=dims, channels=1, name=str(path))
    except ImageError as error:
        raise DatasetError(str(error)) from None
    centroids = _centroids(path, image.array[..., 0])
    table = _label_names.table_beside(path, image_id, centroids)
    names = table if table is not None else {label: str(label) for label in range(1, max(centroids) + 1)}
    unnamed = [label for label in centroids if label not in names]
    if unnamed:
        raise DatasetError(f"{path}: holds label {unnamed[0]}, which the table beside it does not name.")
    matrix = image.file_from_array if image.physical_from_array is None else image.physical_from_array
    points = {names[label]: geometry.apply(matrix, xyz).tolist() for label, xyz in centroids.items()}
    return gathered(
        path,
        {image_id: points},
        dims=dims,
        frame="pixel" if image.physical_from_array is None else "physical",
        names=names.values(),
        sizes={image_id: _file_size(image)},
    )


def _file_size(image: Image) -> tuple[int, ...]:
    return tuple(round(side) for side in np.abs(image.file_from_array[:-1, :-1]) @ image.size)


def _centroids(path: Path, labels: Array) -> dict[int, Array]:
    """Label -> centroid (d,) in pixels of the array ([D,] H, W), in the order of the labels."""
    largest = float(labels.max())
    if labels.min() < 0 or largest > MAX_LANDMARKS or largest < 1:
        raise DatasetError(
            f"{path}: is no label map: expected labels from 1 to {MAX_LANDMARKS:,}, received {labels.min():g} to {largest:g}."
        )
    planes = labels[np.newaxis] if labels.ndim == 2 else labels
    sums, counts = np.zeros((int(largest) + 1, 3)), np.zeros(int(largest) + 1)
    for z, plane in enumerate(planes):
        rows, columns = np.nonzero(plane)
        found = plane[rows, columns]
        if (found != np.rint(found)).any():
            raise DatasetError(f"{path}: is no label map: expected whole numbers, received {found[found != np.rint(found)][0]:g}.")
        own = found.astype(int)
        size = np.bincount(own, minlength=len(counts))
        counts += size
        for axis, values in enumerate((columns, rows)):
            sums[:, axis] += np.bincount(own, weights=values, minlength=len(counts))
        sums[:, 2] += z * size
    if counts.sum() > MOST_LABELLED * labels.size:
        raise DatasetError(
            f"{path}: is no label map: {counts.sum() / labels.size:.0%} of its voxels have a label. Expected 0 outside landmarks."
        )
    return {int(label): sums[label, : labels.ndim] / counts[label] for label in np.flatnonzero(counts)}


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file is called a label map or landmarks, or its NIfTI header states that it holds labels."""
    if NAMED.search(path.name):
        return True
    try:
        header = zlib.decompressobj(31).decompress(head, HEADER) if head.startswith(b"\x1f\x8b") else head[:HEADER]
    except zlib.error:
        return False
    intent = header[INTENT_AT : INTENT_AT + 2]
    return header[344:347] in (b"n+1", b"ni1") and LABEL_INTENT in (int.from_bytes(intent, "little"), int.from_bytes(intent, "big"))


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write the points of one image as single voxels in the grid of the image, as NIfTI, and their names to ``labels.txt`` beside it.

    The label of a landmark is its number, counted from 1. ``labels.txt`` is a table of label descriptions of ITK-SNAP.

    Raises:
        DatasetError: there are several images, the size of the image is not known, a point is outside, or two share a voxel.
        WriteError: a file cannot be written.
    """
    import nibabel  # takes a fifth of a second

    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise DatasetError(f"{path}: label maps are written as .nii.gz or .nii.")
    image_id = only_id(path, annotations)
    size = image_size(path, annotations, facts, image_id)
    names = names_of(annotations)
    labels = np.zeros([*size, 1][:3], "uint8" if len(names) < 256 else "uint16")
    for number, name, xyz in present(annotations, image_id):
        voxel = tuple([*np.rint(xyz).astype(int).tolist(), 0][:3])
        if not all(0 <= index < side for index, side in zip(voxel, labels.shape, strict=True)):
            raise DatasetError(f"{path}: landmark {shown(name)} is outside the image, at voxel {voxel} of {labels.shape}.")
        if labels[voxel]:
            other = shown(names[int(labels[voxel]) - 1])
            raise DatasetError(
                f"{path}: the landmarks {other} and {shown(name)} are in one voxel, {voxel}. Choose a format that holds points."
            )
        labels[voxel] = number + 1
    image = nibabel.Nifti1Image(labels, _ras_from_pixel(facts.get(image_id)))
    image.header["descrip"] = ownership.LABEL_MAP
    image.header.set_intent("label")
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code="scanner")
    image.set_qform(image.affine, code="scanner")
    if annotations.names is not None:
        _label_names.write_table(path.parent / _label_names.TABLE, names)
    content = image.to_bytes()
    with files.replaced(path) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0) if path.name.lower().endswith(".gz") else content)


def _ras_from_pixel(facts: ImageFacts | None) -> Array:
    """Homogeneous matrix (4, 4) from pixels of the image to mm in RAS, as NIfTI has it. Pixels without a frame count as 1 mm."""
    matrix = np.eye(4)
    if facts is not None and facts.physical_from_pixel is not None:
        own = facts.physical_from_pixel
        dims = len(own) - 1
        matrix[:dims, :dims], matrix[:dims, 3] = own[:dims, :dims], own[:dims, -1]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


LABELMAP = AnnotationFormat(
    name="labelmap",
    endings=ENDINGS,
    description="label map, one file per image with one label per landmark, whose centroid counts; exact to the voxel",
    read=read,
    write=write,
    per_image=True,
    recognises=recognises,
    writes="pixel",
    rank=50,
)
