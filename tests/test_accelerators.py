"""What a GPU would run: no operation of a training step falls back to the host, and float16 has a scaled loss."""

from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from scn_tf import config
from scn_tf.environment.backend import keras
from scn_tf.training import trainer as trainers
from scn_tf.training.landmarks import landmark_objective

SIZES = {2: (48, 32), 3: (16, 24, 20)}
LANDMARKS, BATCH = 5, 2


def trainer_of(dims, **train):
    settings = {
        "model": {"image_size": SIZES[dims], "filters": 4, "levels": 2, "dropout": 0.2, "spatial_pooling": 2},
        "augment": {"crop": 0.3, "cover": 0.3},
        "heatmap": {"sigma_mode": "learned"},
        "train": {"ema": 0.9, "weight_decay": 1e-4, **train},
    }
    return trainers.build_trainer(config.from_dict(settings).resolved(dims), landmark_objective, num_maps=LANDMARKS, channels=1)


def batch_of(dims):
    points, shown = (BATCH, LANDMARKS, dims), tf.ones((BATCH, LANDMARKS))
    return {
        "image": tf.random.stateless_normal((BATCH, *SIZES[dims], 1), [1, 2]),
        "landmarks": tf.fill(points, 8.0),
        "visible": shown,
        "absent": 0.0 * shown,
        "size": tf.fill((BATCH, dims), 16.0),
        "file_per_pixel": tf.ones((BATCH, dims)),
    }


def on_the_host(function, *arguments) -> set[str]:
    """Names of the operations of a traced function, and of those that it calls, that have no kernel for a GPU with their types."""
    graph = function.get_concrete_function(*arguments).graph.as_graph_def()
    return {node.op for node in nodes_of(graph) if not any(fits(kernel, node) for kernel in kernels_of(node.op))}


def nodes_of(graph) -> Iterator:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def kernels_of(name):
    found = kernels.get_registered_kernels_for_op(name).kernel
    return [kernel for kernel in found if kernel.device_type in ("GPU", "DEFAULT")]


def fits(kernel, node) -> bool:
    return all(
        node.attr[limit.name].type in limit.allowed_values.list.type
        for limit in kernel.constraint
        if node.attr[limit.name].type and limit.allowed_values.list.type
    )


@pytest.mark.skipif(not kernels_of("Conv2D"), reason="this TensorFlow has no kernels for GPUs")
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("dims", [2, 3])
def test_every_operation_of_a_training_step_has_a_kernel_for_gpus(dims, precision):
    trainer = trainer_of(dims, precision=precision)
    assert on_the_host(tf.function(trainer.train_step), batch_of(dims)) == set()

    def with_python(batch):
        return trainer.train_step(batch | {"image": tf.numpy_function(lambda image: image, [batch["image"]], tf.float32)})

    def with_resizing(batch):
        return trainer.train_step(
            batch | {"image": batch["image"] + tf.reduce_mean(tf.image.resize(tf.ones((1, 8, 8, 1)), (4, 4), "bicubic"))}
        )

    assert on_the_host(tf.function(with_resizing), batch_of(dims)) == {"ResizeBicubic"}
    assert on_the_host(tf.function(lambda batch: tf.numpy_function(np.square, [batch["image"]], tf.float32)), batch_of(dims)) == {"PyFunc"}


def test_float16_trains_with_a_scaled_loss_and_skips_steps_that_overflow():
    plain, half = (trainer_of(2, precision=precision, learning_rate=1e-3) for precision in ("float32", "mixed_float16"))
    assert [isinstance(one.optimizer, keras.optimizers.LossScaleOptimizer) for one in (plain, half)] == [False, True]
    half.network.set_weights(plain.network.get_weights())
    losses = [float(one.train_step(batch_of(2))["loss"]) for one in (plain, half)]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    for ours, theirs in zip(half.network.get_weights(), plain.network.get_weights(), strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, theirs, atol=3e-3)  # Adam's first step: the rate, whatever the scale of the gradient
    half.train_step(batch_of(2))
    before = half.network.get_weights()
    half.optimizer.dynamic_scale.assign(1e38)
    half.train_step(batch_of(2))
    assert all((old == new).all() for old, new in zip(before, half.network.get_weights(), strict=True))
    assert float(half.optimizer.dynamic_scale) == pytest.approx(5e37)
    with half.averaged_weights():
        assert any((old != new).any() for old, new in zip(before, half.network.get_weights(), strict=True))
