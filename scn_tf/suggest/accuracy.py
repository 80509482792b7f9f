"""What error a training will reach, relative to the best possible one. Constants are fitted to our trainings (docs/training.md).

Three things add to the error that annotations and anatomy leave: the size of a pixel, too few channels to tell positions within
one, and too few steps.
"""

PIXELS_ACROSS = 110  # across a shape, where the error by pixels equals the error that is left
FINE_ENOUGH = 400  # pixels across a shape, beyond which more brought nothing
USUAL_FILTERS = {2: 32, 3: 16}
FILTERS_POWER = 0.7
STEPS, STEPS_POWER = {2: 520, 3: 300}, 1.7
USEFUL, USEFUL_POWER = 540, 0.7  # steps after which nothing improves, for n images: 540 n^0.7


def relative_error(*, across: float, filters: int, steps: float, dims: int, most: float = FINE_ENOUGH) -> float:
    """Expected error over the smallest that the data allow.

    Args:
        across: network pixels across a shape (diagonal of the box around its landmarks).
        filters: channels of the network.
        steps: images seen in the whole training.
        dims: 2 or 3.
        most: pixels across a shape beyond which more bring nothing.
    """
    narrow = (USUAL_FILTERS[dims] / filters) ** FILTERS_POWER
    pixels = (1.0 + (PIXELS_ACROSS / min(max(across, 1.0), most)) ** 2 * narrow) ** 0.5
    return pixels * (1.0 + (STEPS[dims] / max(steps, 1.0)) ** STEPS_POWER)


def useful_epochs(images: int) -> int:
    """Epochs after which a training improves no more: 140 with 91 images, 270 with 10."""
    return max(1, round(USEFUL * images ** (USEFUL_POWER - 1.0)))
