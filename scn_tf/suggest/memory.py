"""Memory of a training: its step, the prepared images that are kept, and the program itself."""

from scn_tf.data import cache
from scn_tf.environment.memory import in_words as in_words
from scn_tf.suggest.cost import Shape

PROGRAM = 0.85 * 2**30  # bytes of Python, TensorFlow and its threads
COPIES = 12  # of all weights: the optimizer's state, averages, and two states to go back to
VALUES_PER_FEATURE, BYTES_PER_MAP = 16, 45  # kept for the gradient, of each channel and each heatmap at every pixel
SHARE = 0.7  # of the free memory that a training may take
CACHE_SHARE = cache.SHARE  # of it that prepared images may take


def of_step(shape: Shape, *, batch_size: int, precision: str) -> float:
    """Estimate the bytes of a training step with its network, without the program's own."""
    width = 4 if precision == "float32" else 2
    image = shape.pixels * (VALUES_PER_FEATURE * width * shape.filters + BYTES_PER_MAP * shape.landmarks)
    return batch_size * image + 4 * COPIES * shape.weights


def of_cache(shape: Shape, *, channels: int, images: int) -> float:
    """Bytes of all prepared images."""
    return cache.bytes_of(shape.pixels, channels=channels, images=images)
