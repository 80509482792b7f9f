"""Image files of all formats and DICOM series of folders, with the frames that they state.

``readers/`` has one module per family of formats, which reads pixels as stored (:class:`Stored`) and defines its rows. ``formats``
chooses a row; ``image`` turns, checks and converts. Other packages register rows (:func:`register_image_format`, entry-point group
``scn_tf.image_formats``).
"""

from scn_tf.data.images.archives import Unpacked, unpacked
from scn_tf.data.images.collect import Source, check_exist, collect
from scn_tf.data.images.dicom.series import is_series
from scn_tf.data.images.formats import IMAGE_FORMATS, is_image, read_image, read_safely, register_image_format, shown, stem
from scn_tf.data.images.image import MAX_MM, MIN_MM, Image, Stored, checked_spacing, from_array, from_stored
from scn_tf.data.images.row import ImageFormat
from scn_tf.errors import ImageError

__all__ = [
    "IMAGE_FORMATS",
    "MAX_MM",
    "MIN_MM",
    "Image",
    "ImageError",
    "ImageFormat",
    "Source",
    "Stored",
    "Unpacked",
    "check_exist",
    "checked_spacing",
    "collect",
    "from_array",
    "from_stored",
    "is_image",
    "is_series",
    "read_image",
    "read_safely",
    "register_image_format",
    "shown",
    "stem",
    "unpacked",
]
