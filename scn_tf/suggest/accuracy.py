"""What error a training will reach, relative to the best that the data allow. Constants are fitted to our trainings (docs/training.md).

Annotations, anatomy and the number of images leave an error of their own. Coarse pixels, few channels and few steps add to it.
"""

import math

PIXEL_ERROR = 0.3  # network pixels, of a network of usual width
DATA_ERROR, DATA_IMAGES, DATA_POWER = 0.0025, 91, 0.23  # over the diagonal of a shape; with so many images; more images leave less
FINE_ENOUGH = 400  # pixels across a shape, beyond which more brought nothing
USUAL_FILTERS, FILTERS_POWER = {2: 32, 3: 16}, 0.6
NARROW = {2: 5, 3: 3}  # channels at which a network errs twice as much whatever its pixels
STEPS, STEPS_POWER = {2: 1350, 3: 420}, 2.6  # images seen at which a network errs twice as much as in the end
USEFUL, USEFUL_POWER = 540, 0.7  # images seen after which nothing improves, for n images: 540 n^0.7


def relative_error(*, across: float, filters: int, steps: float, images: int, dims: int, most: float = FINE_ENOUGH) -> float:
    """Expected error over the smallest that the data allow.

    Args:
        across: network pixels across a shape (diagonal of the box around its landmarks).
        filters: channels of the network.
        steps: images seen in the whole training.
        images: number of training images.
        dims: 2 or 3.
        most: pixels across a shape beyond which more bring nothing.
    """
    left = DATA_ERROR * (DATA_IMAGES / images) ** DATA_POWER
    pixel = PIXEL_ERROR / min(max(across, 1.0), most) * (USUAL_FILTERS[dims] / filters) ** (FILTERS_POWER / 2)
    width = 1.0 + (NARROW[dims] / filters) ** 2
    return math.hypot(left, pixel) / left * width * (1.0 + (STEPS[dims] / max(steps, 1.0)) ** STEPS_POWER)


def useful_epochs(images: int) -> int:
    """Epochs after which a training improves no more: 140 with 91 images, 270 with 10."""
    return max(1, round(USEFUL * images ** (USEFUL_POWER - 1.0)))
