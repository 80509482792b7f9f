"""What a model states of a point, as a text for formats with a place for remarks."""

import numpy as np

from scn_tf.data.annotations.absence import absent_of
from scn_tf.data.annotations.row import Annotations

DIGITS = 2  # of an error


def remark(annotations: Annotations, image_id: str, number: int) -> str:
    """Text about a point such as ``expected error 0.8 mm, 95 % within 2.1 mm, score 0.91``. Empty for annotations of a person.

    Args:
        annotations: answers of a model.
        image_id: of the image.
        number: of the landmark, counted from 0.
    """
    parts = []
    estimates, scores = annotations.estimates.get(image_id), annotations.scores.get(image_id)
    if absent_of(annotations, image_id)[number]:
        parts.append("not in the image")
    elif estimates is not None:
        error, radius = (_rounded(values[number]) for values in (estimates.expected_error, estimates.radius95))
        parts += [f"expected error {error} {estimates.unit}", f"95 % within {radius} {estimates.unit}"]
    if scores is not None:
        parts.append(f"score {scores[number]:.6g}")
    return ", ".join(parts)


def _rounded(value: float) -> str:
    """A number with two digits that count, without an exponent."""
    return np.format_float_positional(value, precision=DIGITS, fractional=False, trim="-")
