"""Images reach the network alike whether their pixels are kept as float32 or read as integers, and however they are resampled."""

import numpy as np
import pytest
import tensorflow as tf

from scn_tf import geometry, predict
from scn_tf.data import images
from scn_tf.data.preprocess import network_input, resample
from scn_tf.prediction import steps


@pytest.mark.parametrize("channels", [1, 3])
def test_an_axis_at_a_time_equals_both_at_once(channels, rng):
    array = rng.uniform(0, 255, (90, 71, channels)).astype("float32")
    scale, translation = tf.constant([0.31, 1.4]), tf.constant([2.5, -3.0])  # x shrinks, y grows
    at_once = tf.raw_ops.ScaleAndTranslate(
        images=array[np.newaxis], size=[48, 40], scale=scale[::-1], translation=translation[::-1], kernel_type="triangle", antialias=True
    )
    np.testing.assert_allclose(resample(tf.constant(array), scale, translation, (48, 40)), at_once[0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32"])
@pytest.mark.parametrize(("shape", "size"), [((60, 41, 1), (32, 24)), ((60, 41, 3), (32, 24)), ((20, 31, 25, 1), (12, 16, 14))])
def test_integers_give_what_float32_gives(shape, size, dtype, rng):
    limits = np.iinfo(dtype if dtype != "int32" else "uint16")
    array = rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    fit = geometry.fit_to_input(shape[-2::-1], np.ones(len(size)), size[::-1])
    found, expected = (network_input(one, fit.scale, fit.translation, size).numpy() for one in (array, array.astype("float32")))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(found) > 1


@pytest.mark.parametrize(("name", "encode", "kept"), [
    ("grey.png", tf.io.encode_png, "uint8"),
    ("deep.png", tf.io.encode_png, "uint16"),
    ("grey.jpg", tf.io.encode_jpeg, "uint8"),
    ("colour.jpg", tf.io.encode_jpeg, "float32"),
])  # fmt: skip
def test_a_file_is_prepared_alike_with_and_without_its_pixels(name, encode, kept, run_2d, tmp_path, rng):
    channels = 3 if name == "colour.jpg" else 1
    pixels = rng.integers(0, 256, (50, 37, channels)).astype("uint16" if name == "deep.png" else "uint8")
    path = tmp_path / name
    path.write_bytes(encode(pixels * (257 if name == "deep.png" else 1)).numpy())
    info = predict.load(run_2d).info
    whole, bare = (steps.prepare(path, info, keep_pixels=keep) for keep in (True, False))
    np.testing.assert_allclose(bare.network_image, whole.network_image, atol=1e-6)
    assert whole.image.array.dtype == "float32"
    assert whole.image.array.any()
    assert bare.image.array.shape == whole.image.array.shape
    assert not bare.image.array.any()
    assert images.read_image(path, dims=2, small=True).array.dtype == kept


def test_a_constant_file_is_warned_of_without_its_pixels(run_2d, tmp_path):
    path = tmp_path / "flat.png"
    path.write_bytes(tf.io.encode_png(np.full((50, 37, 1), 9, "uint8")).numpy())
    with pytest.warns(Warning, match="every pixel has the same value"):
        prepared = steps.prepare(path, predict.load(run_2d).info, keep_pixels=False)
    assert prepared.network_image.max() <= 0
