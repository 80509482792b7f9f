"""Image files of every format, and the DICOM series of folders, with the frames that they state.

One module per family of formats reads pixels as stored (:class:`Stored`); ``formats`` chooses it, ``image`` turns, checks and converts.
"""

from scn_tf.data.images.collect import Source, check_exist, collect
from scn_tf.data.images.formats import EXTENSIONS, FORMATS, is_image, read_image, shown, stem
from scn_tf.data.images.image import LEAST_MM, MOST_MM, Image, Stored, checked_spacing, from_array, from_stored
from scn_tf.data.images.series import is_series
from scn_tf.errors import ImageError

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "LEAST_MM",
    "MOST_MM",
    "Image",
    "ImageError",
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
    "shown",
    "stem",
]
