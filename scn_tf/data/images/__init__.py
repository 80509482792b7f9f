"""Image files of every format, and the DICOM series of folders, with the frames that they state.

One module in ``readers/`` per family of formats reads pixels as stored (:class:`Stored`) and has its rows; ``formats`` chooses one,
``image`` turns, checks and converts. Other packages register rows (:func:`register_image_format`, entry-point group
``scn_tf.image_formats``).
"""

from scn_tf.data.images.collect import Source, check_exist, collect
from scn_tf.data.images.dicom.series import is_series
from scn_tf.data.images.formats import IMAGE_FORMATS, is_image, read_image, register_image_format, shown, stem
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
    "check_exist",
    "checked_spacing",
    "collect",
    "from_array",
    "from_stored",
    "is_image",
    "is_series",
    "read_image",
    "register_image_format",
    "shown",
    "stem",
]
