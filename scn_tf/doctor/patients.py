"""Which images are of one patient, by DICOM headers or IDs."""

from collections.abc import Iterable

from scn_tf.data.patients import grouped, of_name
from scn_tf.doctor.picture import Picture


def patients(pictures: Iterable[Picture]) -> dict[str, list[str]]:
    """Patient -> IDs of the images, for patients with two or more images."""
    pictures = list(pictures)
    by_header = grouped({picture.image_id: picture.patient for picture in pictures})
    return by_header or grouped({picture.image_id: of_name(picture.image_id) for picture in pictures})
