import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf

import scn_tf
from scn_tf import export, predict, train_run
from scn_tf.data import images
from scn_tf.export import signatures as signatures_module
from scn_tf.runs import checkpoints
from scn_tf.storage import files
from scn_tf.uncertainty.estimates import ESTIMATES
from tests.conftest import EXACT, SAME_RADIUS, SUBPIXEL, small_config
from tests.serving_client import GIF, bmp, chunk

GREY = np.random.default_rng(3).integers(0, 256, (12, 20, 1), dtype="uint8")
PNG, JPEG = tf.io.encode_png(GREY).numpy(), tf.io.encode_jpeg(GREY).numpy()


@pytest.fixture(scope="module")
def exported(saved_2d, tmp_path_factory):
    """A copy, to which a test may add a version."""
    return shutil.copytree(saved_2d, tmp_path_factory.mktemp("export") / "hands" / saved_2d.name)


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported))


def test_the_folder_is_as_tf_serving_wants_it(exported, run_2d):
    assert exported.name == "1"
    assert (exported / "saved_model.pb").is_file()
    assert json.loads((exported / "assets" / "scn_tf.json").read_text())["landmarks"][0] == "thumb_mcp"
    assert export.export_saved_model(run_2d, exported.parent).name == "2"
    assert sorted(p.name for p in exported.parent.iterdir()) == ["1", "2"]


def test_serving_default_equals_the_training_side_on_images_of_any_size(signatures, calibrated_2d, hands_2d, tmp_path):
    model = scn_tf.load(calibrated_2d)
    names = ("wide.png", "deep.png", "colour.png", "clear.png", "grey.jpg", "small.bmp")
    paths = [hands_2d / "images" / "hand_007.png", *(tmp_path / name for name in names)]
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(paths[0])))
    sitk.WriteImage(sitk.GetImageFromArray(array[40:160, ::-1]), str(paths[1]))
    sitk.WriteImage(sitk.GetImageFromArray(array.astype("uint16") * 200 + 77), str(paths[2]))
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([array, array // 2, array // 3], axis=-1), isVector=True), str(paths[3]))
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([array, array, array // 2, 255 - array], axis=-1), isVector=True), str(paths[4]))
    sitk.WriteImage(sitk.GetImageFromArray(array), str(paths[5]))
    sitk.WriteImage(sitk.GetImageFromArray(array[::2]), str(paths[6]))
    # One batch of different sizes.
    result = signatures.signatures["serving_default"](image_bytes=tf.constant([path.read_bytes() for path in paths]))
    assert result["landmarks"].shape == (7, 21, 2)
    for index, path in enumerate(paths):
        expected = model.predict(path)
        np.testing.assert_allclose(result["landmarks"][index], expected.landmarks, atol=SUBPIXEL)
        np.testing.assert_allclose(result["scores"][index], expected.scores, rtol=1e-3)
        assert_same_estimates({name: values[index].numpy() for name, values in result.items()}, expected.estimates)
        assert expected.estimates.unit == "mm"


def assert_same_estimates(found, expected):
    """Outputs of a signature for one image, and what ``predict`` says of it."""
    assert found["error_unit"].decode() == expected.unit
    for name in ("expected_error", "radius95"):
        np.testing.assert_allclose(found[name] - getattr(expected, name), 0, atol=SAME_RADIUS * expected.radius95.min())
    for name in ("present", "image_ok"):
        assert (name in found) == (getattr(expected, name) is not None)
        np.testing.assert_array_equal(found.get(name), getattr(expected, name))


def test_errors_are_in_pixels_of_each_image_where_no_pixel_size_is_known(calibrated_2d, rng):
    network, info = checkpoints.load_model(calibrated_2d)
    plain = info.model_copy(update={"spacing_mm": None, "aspect": "square"})
    predictor = predict.Predictor(scn_tf.load(calibrated_2d).locate, plain)
    service = signatures_module.Service(network, plain)
    small = rng.normal(size=(60, 50)).astype("float32")
    for image in (small, np.kron(small, np.ones((3, 3), "float32"))):
        found = {name: values[0].numpy() for name, values in service.serve_image(image[np.newaxis, ..., np.newaxis]).items()}
        expected = predictor.predict(image).estimates
        assert expected.unit == "px"
        assert_same_estimates(found, expected)
    own = service.serve_input(tf.zeros((1, *service.input_shape)))
    assert "error_unit" not in own  # lengths of network pixels


def test_errors_in_volumes_are_in_mm(calibrated_3d, rng):
    service, _ = signatures_module.load_service(calibrated_3d)
    model = scn_tf.load(calibrated_3d)
    volume = rng.normal(size=(9, 21, 14)).astype("float32")
    spacing, direction = (1.0, 1.5, 2.0), np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    inputs = {"volume": volume[np.newaxis, ..., np.newaxis], "spacing": np.array([spacing], "float32")}
    for result, expected in (
        (service.serve_volume(**inputs), model.predict(volume, spacing=spacing)),
        (
            service.serve_volume_oriented(**inputs, direction=direction.reshape(1, 9).astype("float32")),
            model.predict(volume, spacing=spacing, direction=direction),
        ),
    ):
        assert expected.estimates.unit == "mm"
        assert_same_estimates({name: values[0].numpy() for name, values in result.items()}, expected.estimates)


def test_signatures_of_a_model_that_is_not_calibrated_are_as_before(bare_2d):
    service, info = signatures_module.load_service(bare_2d)
    outputs = {name: set(function.structured_outputs) for name, function in signatures_module.signatures(service, info).items()}
    assert outputs.pop("serve_heatmaps") == {"product", "local", "spatial"}
    assert set(map(frozenset, outputs.values())) == {frozenset({"landmarks", "scores"})}


def test_all_estimates_of_a_model_are_passed_on(calibrated_2d, rng):
    result = signatures_module.Service(*checkpoints.load_model(calibrated_2d)).serve_image(rng.normal(size=(2, 60, 50, 1)))
    assert set(result) == {"landmarks", "scores", "error_unit", *ESTIMATES}
    assert {name: (values.shape, values.dtype) for name, values in result.items() if name in ("present", "image_ok")} == {
        "present": ((2, 21), tf.int32),
        "image_ok": ((2,), tf.int32),
    }


def test_colour_jpegs_are_decoded_near_the_training_side(run_2d, hands_2d, tmp_path):
    # Two decoders round chroma in their own ways: up to 14 grey levels at an edge, hardly any elsewhere.
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(hands_2d / "images" / "hand_007.png")))
    path = tmp_path / "colour.jpg"
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([array, array // 2, array // 3], axis=-1), isVector=True), str(path))
    service = signatures_module.Service(*checkpoints.load_model(run_2d / "model.keras"))
    apart = np.abs(service._decoded(tf.constant(path.read_bytes())) - images.read_image(path, dims=2, channels=1).array)
    assert apart.max() < 20
    assert apart.mean() < 1


@pytest.mark.parametrize(("kind", "dims"), [("run_2d", 2), ("run_3d", 3)])
def test_serve_input_equals_keras(kind, dims, request, rng):
    run = request.getfixturevalue(kind)
    module = tf.saved_model.load(str(request.getfixturevalue(kind.replace("run", "saved"))))
    network, _ = checkpoints.load_model(run / "model.keras")
    images = rng.normal(size=(3, *network.input_shape[1:])).astype("float32")
    result = module.signatures["serve_input"](image=images)
    maps = network(images).numpy()
    flat = maps.reshape(3, -1, maps.shape[-1])
    whole = np.stack(np.unravel_index(flat.argmax(axis=1), maps.shape[1:-1])[::-1], axis=-1)
    assert np.abs(result["landmarks"] - whole).max() <= 0.5  # the argmax, and a step of at most half a pixel
    np.testing.assert_allclose(result["scores"], flat.max(axis=1), rtol=1e-3, atol=1e-6)
    assert ("serving_default" in module.signatures) == (dims == 2)


def test_a_folder_that_cannot_be_written_is_named(run_2d, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(files.WriteError, match="out: cannot be written"):
        export.export_saved_model(run_2d, tmp_path / "out")


def test_a_version_is_on_the_disk_before_it_has_its_name(run_2d, tmp_path, monkeypatch):
    flushed, original = [], files.flush
    monkeypatch.setattr(files, "flush", lambda path: (flushed.append(path), original(path)))
    target = export.export_saved_model(run_2d, tmp_path / "hands")
    names = {path.relative_to(target) for path in target.rglob("*") if path.is_file()}
    assert len(names) > 4
    assert {Path(*path.parts[path.parts.index("model") + 1 :]) for path in flushed if "model" in path.parts} >= names


def test_a_run_folder_takes_no_export(run_2d):
    with pytest.raises(files.WriteError, match="is a run folder; choose another folder"):
        export.export_saved_model(run_2d, run_2d)


def test_a_damaged_export_is_named(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "1")
    (tmp_path / "3").write_text("no version")
    weights = tmp_path / "1" / "variables" / "variables.data-00000-of-00001"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(checkpoints.CheckpointError, match="1: is damaged"):
        scn_tf.load(tmp_path)


def test_an_exported_model_predicts_through_load(exported, run_2d, hands_2d):
    path = hands_2d / "images" / "hand_009.png"
    np.testing.assert_allclose(
        scn_tf.load(exported.parent).predict(path).landmarks, scn_tf.load(run_2d).predict(path).landmarks, atol=EXACT * 10
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a PNG, JPEG or BMP"),
        (b"no image", "expected a PNG, JPEG or BMP"),
        (b"RIFF\x20\0\0\0WEBPVP8L\x0f\0\0\0\x2f\xff\xff\xff\x0f", "expected a PNG, JPEG or BMP"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (PNG[:60], "PNG"),
        (PNG[:16] + struct.pack(">II", 40_000, 40_000) + PNG[24:], "at most 64000000 pixels"),
        (GIF, "is a GIF; save it as PNG"),
        (b"BM" + bytes(16) + struct.pack("<iiHH", 40_000, -40_000, 1, 24) + bytes(20), "at most 64000000 pixels"),
        (bmp([(9, 9, 9), (0, 0, 0)] * 128), "a BMP with a palette"),
        (PNG[:8] + chunk(b"teXt", b"0" * 13) + PNG[8:], "it does not begin with its size"),
        (JPEG.replace(struct.pack(">HH", 12, 20), struct.pack(">HH", 40_000, 40_000)), "at most 64000000 pixels"),
    ],
    ids=[
        *("empty", "text", "webp", "signature", "truncated", "png bomb", "gif"),
        *("bmp bomb", "bmp of colours", "png of chunks", "jpeg bomb"),
    ],
)
def test_bytes_that_are_no_usable_image_are_refused(signatures, content, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures.signatures["serving_default"](image_bytes=tf.constant([content]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_serve_image_takes_arrays_of_any_size_and_type(signatures, run_2d, hands_2d, dtype):
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(hands_2d / "images" / "hand_008.png")))
    images = np.stack([array[20:190, 30:], array[20:190, -31::-1]])[..., np.newaxis].astype(dtype)
    name = {"float32": "serve_image"}.get(dtype, f"serve_image_{dtype}")
    result = signatures.signatures[name](image=tf.constant(images))
    model = scn_tf.load(run_2d)
    for index, image in enumerate(images):
        np.testing.assert_allclose(result["landmarks"][index], model.predict(image).landmarks, atol=SUBPIXEL)


def test_serve_heatmaps_gives_the_product_of_its_two_other_maps(signatures, run_2d, rng):
    image = rng.normal(size=(2, 48, 32, 1)).astype("float32")
    maps = signatures.signatures["serve_heatmaps"](image=image)
    assert sorted(maps) == ["local", "product", "spatial"]
    np.testing.assert_allclose(maps["product"], maps["local"] * maps["spatial"], rtol=1e-5, atol=1e-9)
    scores = signatures.signatures["serve_input"](image=image)["scores"]
    np.testing.assert_allclose(tf.reduce_max(maps["product"], axis=(1, 2)), scores, rtol=1e-5)


def test_serve_volume_answers_in_the_volumes_voxels(run_3d, saved_3d, hands_3d, rng):
    module = tf.saved_model.load(str(saved_3d))
    volumes = rng.normal(size=(2, 9, 21, 14, 1)).astype("float32")
    spacings = np.array([[1.0, 1.5, 2.0], [2.0, 1.0, 1.0]], "float32")
    result = module.signatures["serve_volume"](volume=volumes, spacing=spacings)
    model = scn_tf.load(run_3d)
    for volume, spacing, landmarks in zip(volumes, spacings, result["landmarks"], strict=True):
        np.testing.assert_allclose(landmarks, model.predict(volume, spacing=spacing).landmarks, atol=SUBPIXEL)
    with pytest.raises(tf.errors.InvalidArgumentError, match="positive mm"):
        module.signatures["serve_volume"](volume=volumes, spacing=-spacings)


@pytest.mark.parametrize("name", ["serve_input", "serve_image", "serve_heatmaps"])
def test_numbers_that_are_not_finite_are_refused(signatures, name):
    image = np.zeros((1, 48, 32, 1), "float32")
    image[0, 3, 4] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="finite"):
        signatures.signatures[name](image=tf.constant(image))


def test_what_a_model_says_of_itself_names_no_folder_of_its_maker(exported, run_2d, hands_2d):
    stated = json.loads((exported / "assets" / "scn_tf.json").read_text())
    assert stated["validation"]["unit"] == "mm"
    assert stated["name"] == "synthetic_hands_2d"
    assert stated["config"]["heatmap"]["decoder"] == "quadratic"
    assert str(hands_2d) not in json.dumps(stated)
    assert str(hands_2d) in json.dumps(checkpoints.read_info(run_2d / "model.keras").to_json())  # there it is needed


def test_a_network_trained_in_bfloat16_is_used_in_float32(hands_2d, tmp_path):
    train_run.train(small_config(hands_2d, train__precision="mixed_bfloat16", train__epochs=1), tmp_path / "run")
    network, _ = checkpoints.load_model(tmp_path / "run" / "model.keras")
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
