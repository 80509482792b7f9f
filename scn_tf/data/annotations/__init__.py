"""Annotation files: one row per format, and the reading of a data set's annotations.

A format is one module in ``formats/`` with its row, or a row that another package registers (:func:`register_annotation_format`,
entry-point group ``scn_tf.annotation_formats``).
"""

from scn_tf.data.annotations.reading import ANNOTATIONS, format_of, read_annotations, register_annotation_format
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected

__all__ = [
    "ANNOTATIONS",
    "AnnotationFormat",
    "Annotations",
    "Expected",
    "format_of",
    "read_annotations",
    "register_annotation_format",
]
