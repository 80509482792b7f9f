"""Random regression forests, with which the paper compares the networks. :mod:`scn_tf.systems.forest` trains them."""

from scn_tf.models.model import Model, no_pooling

FOREST = Model(
    name="forest",
    description="random regression forests",
    build=None,
    divisor=no_pooling,
    system="forest",
    rank=6,
)
FOREST_SHAPE = Model(
    name="forest_shape",
    description="random regression forests with a shape model",
    build=None,
    divisor=no_pooling,
    system="forest",
    min_landmarks=2,
    rank=7,
)
