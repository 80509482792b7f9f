import keras
import numpy as np
import pytest
import tensorflow as tf

import scn_tf
from scn_tf import models
from scn_tf.models.parts.blocks import conv

NETWORKS = [name for name, row in models.MODELS.items() if row.build]


def count(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Counted by the formula in docs/architecture.md, not by Keras.
        (dict(name="scn", dims=2, landmarks=37, preset="paper"), 6_926_410),
        (dict(name="scn", dims=2, landmarks=37, preset="small"), 2_029_642),
        (dict(name="scn", dims=2, landmarks=37, preset="tiny"), 656_458),
        (dict(name="scn", dims=3, landmarks=5, preset="paper"), 4_367_882),
        (dict(name="unet", dims=2, landmarks=37, preset="tiny", levels=5), 195_621),
        # 25 (C F + 2 F F + F N) + 3 F + N, and 15 x 15 N N + N
        (dict(name="payer2016", dims=2, landmarks=37, preset="paper"), 25 * 128 * (1 + 256 + 37) + 3 * 128 + 37 + 225 * 37**2 + 37),
        (dict(name="downsampling", dims=2, landmarks=37, preset="tiny"), 25 * 32 * (1 + 5 * 32 + 37) + 6 * 32 + 37),
        # U-Net without its head; conv(3, F, N); conv(5, N, F) + 2 conv(5, F, F) + conv(5, F, N)
        (
            dict(name="segmentation", dims=2, landmarks=8, preset="tiny", filters=16, levels=2),
            9 * (1 * 16 + 3 * 256 + 512 + 256) + 6 * 16 + 9 * 16 * 8 + 8 + 25 * (2 * 16 * 8 + 2 * 256) + 3 * 16 + 8,
        ),
        (dict(name="convonly", dims=2, landmarks=37, preset="tiny"), 121 * 32 * (1 + 5 * 32 + 37) + 6 * 32 + 37),
    ],
)
def test_parameter_counts_are_golden(options, expected):
    assert count(scn_tf.build_network(**options)) == expected


@pytest.mark.parametrize(("dims", "size"), [(2, (48, 32)), (3, (8, 16, 12))])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_map_images_to_heatmaps_of_the_same_size(name, dims, size):
    model = scn_tf.build_network(
        name, dims, landmarks=3, image_size=size, filters=4, levels=2, spatial_pooling=4, spatial_kernel=3, channels=2
    )
    assert model(tf.zeros((2, *size, 2))).shape == (2, *size, 3)


@pytest.mark.parametrize("name", ["scn", "payer2016", "segmentation"])
def test_the_output_is_the_product_of_its_two_factors(name, rng):
    model = scn_tf.build_network(name, landmarks=3, image_size=(48, 32), filters=4, levels=3, preset="tiny")
    parts = keras.Model(model.input, [model.get_layer(n).output for n in ("local_appearance", "spatial_configuration", "heatmaps")])
    local, spatial, product = parts(rng.normal(size=(2, 48, 32, 1)).astype("float32"))
    np.testing.assert_allclose(product, local * spatial, rtol=1e-6)
    if name == "scn":
        assert np.abs(spatial).max() <= 1.2  # tanh, before an upsampling that overshoots a little
    assert isinstance(model.get_layer("heatmaps"), keras.layers.Multiply)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("dims", "size"), [(2, (16, 24)), (3, (8, 16, 12))])
def test_every_weight_gets_a_gradient_in_both_precisions(policy, dims, size, name, rng):
    with models.dtype_policy(policy):
        model = scn_tf.build_network(name, dims, landmarks=3, image_size=size, filters=4, levels=2, spatial_pooling=4, spatial_kernel=3)
    assert model.output.dtype == "float32"
    with tf.GradientTape() as tape:
        maps = model(rng.normal(size=(2, *size, 1)).astype("float32"), training=True)
        loss = tf.reduce_sum((maps - 1.0) ** 2)
    for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True):
        assert gradient is not None, weight.path
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("planes", [2, 3, 4, 5])
def test_kernels_with_more_planes_than_the_volume_train_in_bfloat16(planes, rng):
    # oneDNN's own kernel gradient for them reads and writes what is not theirs, where a processor has AVX-512-BF16: often NaN.
    image = keras.Input((planes, 8, 6, 8))
    with models.dtype_policy("mixed_bfloat16"):
        model = keras.Model(image, conv(8, 5, 3, name="conv")(image))
    for _ in range(20):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(model(rng.normal(size=(1, planes, 8, 6, 8)).astype("float32")), "float32") ** 2)
        for gradient in tape.gradient(loss, model.trainable_variables):
            assert np.isfinite(gradient).all()
    assert model.get_layer("conv").compute_dtype == ("bfloat16" if planes == 5 else "float32")


def test_the_spatial_part_of_2016_places_a_landmark_by_the_others_alone(rng):
    model = scn_tf.build_network("payer2016", landmarks=3, image_size=(32, 24), filters=4, spatial_pooling=4, spatial_kernel=5)
    # An untrained head sees nothing: give the spatial part maps of its own.
    part = keras.Model(model.get_layer("sc_pool").input, model.get_layer("spatial_configuration").output)
    maps = rng.normal(size=(1, 32, 24, 3)).astype("float32")
    changed = maps.copy()
    changed[..., 1] += 1.0
    before, after = part(maps).numpy(), part(changed).numpy()
    np.testing.assert_array_equal(before[..., 1], after[..., 1])
    assert np.abs(before[..., 0] - after[..., 0]).max() > 1e-3
    with pytest.raises(ValueError, match="at least 2 landmarks"):
        scn_tf.build_network("payer2016", landmarks=1)


def test_a_side_that_the_poolings_do_not_divide_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"multiple of 16.*received 250; nearest: 240 or 256"):
        scn_tf.build_network(landmarks=3, image_size=(256, 250))


@pytest.mark.parametrize(
    ("options", "message"),
    [(dict(name="scm"), "scn"), (dict(dims=4), "dims must be 2 or 3"), (dict(image_size=(64, 64, 64)), "expected 2 sides")],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        scn_tf.build_network(landmarks=3, **options)
