import json

import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf

import scn_tf
from scn_tf import checkpoints, serving
from tests.conftest import EXACT, SUBPIXEL


@pytest.fixture(scope="module")
def exported(run_2d, tmp_path_factory):
    return serving.export_saved_model(run_2d, tmp_path_factory.mktemp("export") / "hands")


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported))


def test_the_folder_is_as_tf_serving_wants_it(exported, run_2d):
    assert exported.name == "1"
    assert (exported / "saved_model.pb").is_file()
    assert json.loads((exported / "assets" / "scn_tf.json").read_text())["landmarks"][0] == "thumb_mcp"
    assert serving.export_saved_model(run_2d, exported.parent).name == "2"
    assert sorted(p.name for p in exported.parent.iterdir()) == ["1", "2"]


def test_serving_default_equals_the_training_side_on_images_of_any_size(signatures, run_2d, hands_2d, tmp_path):
    model = scn_tf.load(run_2d)
    paths = [hands_2d / "images" / "hand_007.png", tmp_path / "wide.png", tmp_path / "deep.png", tmp_path / "colour.png"]
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(paths[0])))
    sitk.WriteImage(sitk.GetImageFromArray(array[40:160, ::-1]), str(paths[1]))
    sitk.WriteImage(sitk.GetImageFromArray(array.astype("uint16") * 200 + 77), str(paths[2]))
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([array, array // 2, array // 3], axis=-1), isVector=True), str(paths[3]))
    # One batch of different sizes.
    result = signatures.signatures["serving_default"](image_bytes=tf.constant([path.read_bytes() for path in paths]))
    assert result["landmarks"].shape == (4, 21, 2)
    for index, path in enumerate(paths):
        expected = model.predict(path)
        np.testing.assert_allclose(result["landmarks"][index], expected.landmarks, atol=SUBPIXEL)
        np.testing.assert_allclose(result["scores"][index], expected.scores, rtol=1e-3)


@pytest.mark.parametrize(("kind", "dims"), [("run_2d", 2), ("run_3d", 3)])
def test_serve_input_equals_keras(kind, dims, request, tmp_path, rng):
    run = request.getfixturevalue(kind)
    module = tf.saved_model.load(str(serving.export_saved_model(run, tmp_path / "out")))
    network, _ = checkpoints.load_model(run / "model.keras")
    images = rng.normal(size=(3, *network.input_shape[1:])).astype("float32")
    result = module.signatures["serve_input"](image=images)
    maps = network(images).numpy()
    flat = maps.reshape(3, -1, maps.shape[-1])
    whole = np.stack(np.unravel_index(flat.argmax(axis=1), maps.shape[1:-1])[::-1], axis=-1)
    assert np.abs(result["landmarks"] - whole).max() <= 0.5  # the argmax, and a step of at most half a pixel
    np.testing.assert_allclose(result["scores"], flat.max(axis=1), rtol=1e-3, atol=1e-6)
    assert ("serving_default" in module.signatures) == (dims == 2)


def test_an_exported_model_predicts_through_load(exported, run_2d, hands_2d):
    path = hands_2d / "images" / "hand_009.png"
    np.testing.assert_allclose(
        scn_tf.load(exported.parent).predict(path).landmarks, scn_tf.load(run_2d).predict(path).landmarks, atol=EXACT * 10
    )


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_image_are_an_error_not_a_crash(signatures, content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures.signatures["serving_default"](image_bytes=tf.constant([content]))
