"""Radii that contain the truth with a stated probability: split conformal prediction.

Sources: Papadopoulos et al., ECML 2002 (errors divided by their expected size); Lei et al., JASA 2018, theorem 2.2 (the quantile of a
finite sample).
"""

import math

import numpy as np

from scn_tf.types import Array

LEVEL = 0.95
# The radius is factor * expected_error ** POWER. Below one, hard points give up some of their certainty for smaller areas
# (docs/research/measurements.md has the figures).
POWER = 0.8
LEAST = math.ceil(LEVEL / (1 - LEVEL) - 1e-9)  # points: fewer have no quantile


def quantile(ratios: Array, level: float = LEVEL) -> float:
    """The ceil((n + 1) level)-th smallest of n values, which a further exchangeable value exceeds with probability 1 - level at most.

    Infinite if n is too small, below ``LEAST`` for 95 %.
    """
    rank = math.ceil((ratios.size + 1) * level - 1e-9)
    return float(np.sort(ratios, axis=None)[rank - 1]) if rank <= ratios.size else math.inf


def factor(errors: Array, expected: Array, power: float = POWER) -> float:
    """Factor of the radius.

    Args:
        errors: (n,) network pixels, of at least ``LEAST`` points.
        expected: (n,) expected errors, of models that were fitted to other images.
        power: see ``POWER``.
    """
    return quantile(errors / expected**power)
