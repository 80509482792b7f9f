import keras
import numpy as np
import pytest
import tensorflow as tf

from scn_tf.models.parts.layers import CubicUpsampling, Dropout, LinearUpsampling, cubic_matrix


def test_cubic_upsampling_equals_bicubic_resize(rng):
    maps = rng.normal(size=(2, 6, 9, 3)).astype("float32")
    np.testing.assert_allclose(CubicUpsampling(4)(maps), tf.image.resize(maps, (24, 36), "bicubic"), atol=1e-5)


def test_cubic_upsampling_is_separable_in_3d(rng):
    line = rng.normal(size=7).astype("float32")
    maps = np.ones((1, 3, 7, 5, 2), "float32") * line[None, None, :, None, None]
    np.testing.assert_allclose(CubicUpsampling(2)(maps)[0, 0, :, 0, 0], cubic_matrix(7, 14) @ line, atol=1e-5)


def test_upsampled_gaussian_peak_is_where_it_was():
    # A peak at 2 in the small map is at (2 + 1/2) * 16 - 1/2 in the large one: no half-pixel bias.
    x = np.arange(7)
    small = np.exp(-((x[:, None] - 3) ** 2 + (x[None, :6] - 2) ** 2) / 2.0)[None, :, :, None].astype("float32")
    large = CubicUpsampling(16)(small).numpy()[0, ..., 0]
    row, column = np.unravel_index(large.argmax(), large.shape)
    assert abs(row - 55.5) <= 0.5
    assert abs(column - 39.5) <= 0.5


def test_linear_upsampling_equals_bilinear_resize_in_2d_and_interpolates_3d(rng):
    maps = rng.normal(size=(2, 5, 7, 3)).astype("float32")
    np.testing.assert_allclose(LinearUpsampling()(maps), tf.image.resize(maps, (10, 14)), atol=1e-6)
    line = np.array([0.0, 4.0, 8.0], "float32")
    volume = np.ones((1, 3, 2, 4, 1), "float32") * line[None, :, None, None, None]
    np.testing.assert_allclose(LinearUpsampling()(volume)[0, :, 0, 0, 0], [0, 1, 3, 5, 7, 8])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("layer", [CubicUpsampling, LinearUpsampling])
@pytest.mark.parametrize("shape", [(2, 3, 5, 2), (1, 3, 4, 5, 2)])
def test_upsampling_has_the_adjoint_gradient_in_both_precisions(layer, policy, shape, rng):
    upsample = layer(4, dtype=policy) if layer is CubicUpsampling else layer(dtype=policy)
    maps = tf.constant(rng.normal(size=shape).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(maps)
        result = upsample(maps)
        loss = tf.reduce_sum(tf.cast(result, tf.float32))
    gradient = tape.gradient(loss, maps)
    # Rows of an interpolation sum to one: every output pixel's weight comes from somewhere.
    np.testing.assert_allclose(tf.reduce_sum(gradient), np.prod(result.shape), rtol=1e-5 if policy == "float32" else 0.02)


def test_cubic_upsampling_compiles_under_xla(rng):
    upsample = CubicUpsampling(4)
    maps = tf.constant(rng.normal(size=(1, 3, 5, 2)).astype("float32"))
    compiled = tf.function(upsample, jit_compile=True)
    np.testing.assert_allclose(compiled(maps), upsample(maps), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # the converter's own
def test_upsampling_and_convolution_convert_to_tflite_builtins(rng):
    model = keras.Sequential(
        [keras.Input((8, 12, 2), batch_size=1), keras.layers.Conv2D(3, 3, padding="same"), LinearUpsampling(), CubicUpsampling(4)]
    )
    function = tf.function(model).get_concrete_function(tf.TensorSpec((1, 8, 12, 2)))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    content = converter.convert()  # the interpreter does not keep it alive
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    image = rng.normal(size=(1, 8, 12, 2)).astype("float32")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), model(image), atol=1e-4)


def test_upsampling_says_what_it_expected():
    with pytest.raises(ValueError, match="static spatial sizes"):
        LinearUpsampling()(keras.Input((None, 8, 1)))


@pytest.mark.parametrize(("rate", "exact"), [(0.25, 0.25), (0.1, 26 / 256), (0.001, 1 / 256), (0.5, 0.5)])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_dropout_leaves_out_its_share_and_keeps_the_mean(rate, exact, policy):
    layer, ones = Dropout(rate, seed=3, dtype=policy), np.ones((2, 101, 77, 9), "float32")
    found = np.asarray(tf.cast(layer(ones, training=True), tf.float32))
    assert set(np.unique(found)) == {0.0, np.float32(tf.cast(1 / (1 - exact), layer.compute_dtype))}
    assert abs((found == 0).mean() - exact) < 5 * (exact / found.size) ** 0.5
    for axis in range(4):  # no row, column or channel is special
        others = tuple(one for one in range(4) if one != axis)
        shares = (found == 0).mean(axis=others)
        assert np.abs(shares - exact).max() < 6 * (exact * found.shape[axis] / found.size) ** 0.5
    again = np.asarray(tf.cast(layer(ones, training=True), tf.float32))
    assert ((found == 0) & (again == 0)).mean() == pytest.approx(exact**2, abs=0.01)  # new numbers in each step
    np.testing.assert_array_equal(tf.cast(layer(ones, training=False), tf.float32), ones)


def test_dropout_passes_gradients_of_what_it_keeps_alone():
    layer, values = Dropout(0.5, seed=1), tf.Variable(np.ones((1, 20, 20, 2), "float32"))
    with tf.GradientTape() as tape:
        kept = layer(values, training=True)
    np.testing.assert_array_equal(tape.gradient(kept, values), kept)
