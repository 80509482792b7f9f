"""Annotation files: one row per format, and the reading of a data set's annotations.

A format is one module in ``formats/`` with its row, or a row that another package registers (:func:`register_annotation_format`,
entry-point group ``scn_tf.annotation_formats``). ``conversion`` moves points from one frame to another.
"""

from scn_tf.data.annotations.absence import absent_of, with_rule
from scn_tf.data.annotations.conversion import converted, write_annotations
from scn_tf.data.annotations.reading import (
    ANNOTATIONS,
    format_of,
    merged,
    read_annotations,
    read_any,
    recognised,
    register_annotation_format,
)
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Empty, Expected, Frame

__all__ = [
    "ANNOTATIONS",
    "AnnotationFormat",
    "Annotations",
    "Empty",
    "Expected",
    "Frame",
    "absent_of",
    "converted",
    "format_of",
    "merged",
    "read_annotations",
    "read_any",
    "recognised",
    "register_annotation_format",
    "with_rule",
    "write_annotations",
]
