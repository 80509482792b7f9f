"""Pixels that are not square, known from headers alone: no form takes them as square without a word."""

import concurrent.futures
import shutil
import subprocess
import sys

import grpc
import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf
import yaml
from tensorflow_serving.apis import prediction_service_pb2_grpc

import scn_tf
from scn_tf import cli, combine_runs, errors, evaluate_run, export, predict, train_run
from scn_tf.data import dataset, pixels
from scn_tf.errors import DatasetError, ImageError
from scn_tf.export import parity, signatures, warmup
from scn_tf.export.forms.saved_model import reading as saved_model
from scn_tf.runs import checkpoints
from scn_tf.runs.info import ModelInfo
from scn_tf.serving import client, demo, servable
from tests.conftest import EXACT, REPOSITORY, SAME_RADIUS, SUBPIXEL, calibrate_at_random, small_config, with_settings
from tests.serving_client import ask, b64, running
from tests.test_tf_serving_client import PredictionService, Servable

SPACING = (0.9, 2.7)  # mm, x y: every third row of the synthetic hands


def flattened(source, root, spacing=SPACING, suffix=".mha"):
    """A copy of a set with a third of the rows, whose pixel size only the headers state."""
    (root / "images").mkdir(parents=True)
    shutil.copytree(source / "splits", root / "splits")
    for path in (source / "images").iterdir():
        image = sitk.GetImageFromArray(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[1::3])
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(root / "images" / f"{path.stem}{suffix}"))
    rows = [line.split(",") for line in (source / "landmarks.csv").read_text().splitlines()]
    for row in rows:
        row[2::2] = [str((float(y) - 1) / 3) for y in row[2::2]]
    (root / "landmarks.csv").write_text("\n".join(map(",".join, rows)))
    description = yaml.safe_load((source / "dataset.yaml").read_text())
    del description["spacing_mm"]
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))
    return root


@pytest.fixture(scope="module")
def flat(hands_2d, tmp_path_factory):
    return flattened(hands_2d, tmp_path_factory.mktemp("flat") / "set")


@pytest.fixture(scope="module")
def run(flat, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "flat"
    train_run.train(small_config(flat, train__epochs=1), run)
    calibrate_at_random(run / "model.keras")
    return run


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export.export_saved_model(run, tmp_path_factory.mktemp("export") / "flat")


@pytest.fixture(scope="module")
def module(exported):
    return tf.saved_model.load(str(exported))


@pytest.fixture(scope="module")
def picture(flat, tmp_path_factory):
    """(MHA file, the same pixels as PNG, as array (H, W))."""
    path = sorted((flat / "images").iterdir())[7]
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    png = tmp_path_factory.mktemp("png") / "hand.png"
    png.write_bytes(tf.io.encode_png(array[..., np.newaxis]).numpy())
    return path, png, array


@pytest.mark.parametrize(
    ("fixed", "stated", "aspect"),
    [
        (None, [(1.0, 3.0), (1.0, 1.0)], "header"),
        (None, [None, (0.5, 0.5, 0.500001)], "square"),
        (None, [(0.2, 0.2), (0.2, 0.2002)], "header"),
        (None, [None], "square"),
        ((1.0, 3.0), [(1.0, 2.0)], "fixed"),
    ],
)
def test_a_model_knows_what_headers_said_of_its_training_images(fixed, stated, aspect):
    assert pixels.aspect(fixed, stated) == aspect


def test_training_records_it_and_every_form_keeps_it(run, run_2d, run_3d, exported, tmp_path):
    paths = [run, exported, export.export_tflite(run, tmp_path / "a.tflite"), export.export_onnx(run, tmp_path / "a.onnx")]
    assert [scn_tf.load(path).info.aspect for path in paths] == ["header"] * 4
    assert checkpoints.read_info(run_2d / "model.keras").aspect == "fixed"
    assert checkpoints.read_info(run_3d / "model.keras").aspect == "square"


def test_an_ensemble_asks_for_it_if_any_member_does(run, tmp_path):
    network, info = checkpoints.load_model(run / "model.keras")
    checkpoints.save_model(network, tmp_path / "square.keras", info.model_copy(update={"aspect": "square"}))
    combine_runs.combine([tmp_path / "square.keras", run], tmp_path / "pair.keras")
    assert checkpoints.read_info(tmp_path / "pair.keras").aspect == "header"


def test_an_array_or_picture_without_its_pixel_size_is_refused_and_with_it_answers_as_the_file(run, picture, tmp_path):
    path, png, array = picture
    for form in (run, export.export_onnx(run, tmp_path / "a.onnx")):
        predictor = scn_tf.load(form)
        wanted = predictor.predict(path).landmarks
        for image in (array, png):
            with pytest.raises(ImageError, match=r"spacing: is missing\. .* not square.* pass spacing, 2 numbers"):
                predictor.predict(image)
            # The relation counts where the input has no mm of its own.
            for spacing in (SPACING, (1, 3)):
                np.testing.assert_allclose(predictor.predict(image, spacing=spacing).landmarks, wanted, atol=10 * EXACT)
        assert np.abs(predictor.predict(array, spacing=(1, 1)).landmarks - wanted).max() > 1


def test_image_signatures_take_the_pixel_size(module, run, picture):
    path, png, array = picture
    wanted = scn_tf.load(run).predict(path)
    spacing = tf.constant([SPACING, SPACING])
    found = [module.signatures["serving_default"](image_bytes=tf.constant([png.read_bytes()] * 2), spacing=spacing)]
    for name, dtype in signatures.IMAGE_SIGNATURES.items():
        image = tf.cast(np.stack([array, array])[..., np.newaxis], dtype)
        found.append(module.signatures[name](image=image, spacing=spacing))
    for result in found:
        np.testing.assert_allclose(result["landmarks"], [wanted.landmarks] * 2, atol=SUBPIXEL)
        assert {unit.decode() for unit in result["error_unit"].numpy()} == {wanted.estimates.unit} == {"mm"}
        np.testing.assert_allclose(result["radius95"], [wanted.estimates.radius95] * 2, rtol=SAME_RADIUS)
    # A pixel of twice the size is one of twice the error.
    result = module.signatures["serving_default"](image_bytes=tf.constant([png.read_bytes()] * 2), spacing=2 * spacing)
    np.testing.assert_allclose(result["radius95"], [2 * wanted.estimates.radius95] * 2, rtol=SAME_RADIUS)


def test_signatures_of_models_with_square_or_fixed_pixels_stay_as_they_were(run_2d):
    network, info = checkpoints.load_model(run_2d / "model.keras")
    for aspect, fixed in ((None, None), ("square", None), ("fixed", [1.0, 3.0])):
        own = info.model_copy(update={"spacing_mm": fixed, "aspect": aspect})
        functions = signatures.signatures(signatures.Service(network, own), own)
        inputs = {
            name: [tensor.name.split(":")[0] for tensor in function.inputs[:2] if tensor.dtype != tf.resource]
            for name, function in functions.items()
        }
        names = ("serve_input", "serve_heatmaps", "serve_image", "serve_image_uint8", "serve_image_uint16")
        assert inputs == {"serving_default": ["image_bytes"], **{name: ["image"] for name in names}}


@pytest.mark.parametrize(
    "spacing", [(0.0, 1.0), (-1.0, 1.0), (np.nan, 1.0), (np.inf, 1.0), (1.0,), (1.0, 1.0, 1.0), (1e9, 1.0), (1e-9, 1.0)]
)
def test_a_pixel_size_that_cannot_be_is_refused_by_name(spacing, module, run, picture):
    _, png, array = picture
    predictor = scn_tf.load(run)
    for image in (png, array):
        with pytest.raises(ImageError, match="spacing: expected 2 positive numbers of mm per pixel"):
            predictor.predict(image, spacing=spacing)
    image = tf.constant(array[np.newaxis, ..., np.newaxis], tf.float32)
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError), match="spacing"):
        module.signatures["serve_image"](image=image, spacing=tf.constant([spacing], tf.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="spacing: expected one row per image"):
        module.signatures["serve_image"](image=image, spacing=tf.constant([SPACING] * 2))


def test_the_local_server_and_the_client_pass_the_pixel_size_on(exported, run, picture):
    path, png, _ = picture
    wanted = scn_tf.load(run).predict(path).landmarks
    model = servable.load(exported)
    servable.warm_up(model)
    with running(model) as port:
        row = {"image_bytes": b64(png.read_bytes()), "spacing": list(SPACING)}
        status, answer = ask(port, body={"instances": [row, row]})
        assert status == 200, answer
        np.testing.assert_allclose(answer["predictions"][1]["landmarks"], wanted, atol=SUBPIXEL)
        for wrong, words in (
            ({**row, "spacing": [1, 0]}, "spacing: expected positive mm per pixel"),
            ({**row, "spacing": [1]}, "spacing: expected float32 numbers of shape (any, 2)"),
            (row["image_bytes"], "an object with image_bytes and spacing"),
        ):
            status, answer = ask(port, body={"instances": [wrong]})
            assert (status, words in answer["error"]) == (400, True), answer
        url = f"http://127.0.0.1:{port}"
        for spacing in (SPACING, [SPACING] * 3):
            for found in client.predict_rest(url, [png] * 3, spacing=spacing, batch_size=2):
                np.testing.assert_allclose(found.landmarks, wanted, atol=SUBPIXEL)
        with pytest.raises(client.ClientError, match="spacing"):
            client.predict_rest(url, [png])
    for spacing in ((1, -1), (1, 2, 3), "wide", [SPACING] * 2):
        with pytest.raises(client.ClientError, match="spacing: expected two positive numbers"):
            client.predict_rest(url, [png], spacing=spacing)


def test_the_grpc_client_and_the_command_pass_the_pixel_size_on(exported, run, picture, tmp_path):
    path, png, _ = picture
    wanted = scn_tf.load(run).predict(path).landmarks
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(Servable(exported)), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        for found in client.predict_grpc(address, [png] * 3, spacing=[SPACING] * 3, batch_size=2):
            np.testing.assert_allclose(found.landmarks, wanted, atol=SUBPIXEL)
        command = [sys.executable, "export/client.py", str(png), "--grpc", address, "--out", str(tmp_path / "found.csv")]
        done = subprocess.run([*command, "--spacing", *map(str, SPACING)], cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        table = np.genfromtxt(tmp_path / "found.csv", delimiter=",", skip_header=1, usecols=(2, 3))
        np.testing.assert_allclose(table, wanted, atol=SUBPIXEL)
    finally:
        server.stop(None).wait()


def test_a_model_that_needs_mm_says_so_of_arrays_and_pictures(run_2d, picture):
    predictor = scn_tf.load(run_2d)
    info = with_settings(predictor.info.model_copy(update={"spacing_mm": None}), model__spacing_mm=2.0)
    predictor = predict.Predictor(predictor.locate, info)
    for image in picture[1:]:
        with pytest.raises(ImageError, match=r"spacing: is missing\. The model sees images at 2 mm per pixel"):
            predictor.predict(image)
    np.testing.assert_allclose(
        predictor.predict(picture[2], spacing=SPACING).landmarks, predictor.predict(picture[0]).landmarks, atol=EXACT
    )


def test_warm_up_requests_have_it_too(exported):
    for name, inputs in warmup._requests(exported, (1, 3)):
        wanted = {"image_bytes", "spacing"} if name == "serving_default" else {"image"}
        assert set(inputs) == wanted
    assert [side.size for side in inputs["spacing"].tensor_shape.dim] == [3, 2]


def test_the_browser_page_refuses_such_a_model(run):
    info = checkpoints.read_info(run / "model.keras")
    with pytest.raises(errors.ConversionError, match="not square"):
        demo.page_model(info)
    assert demo.page_model(info.model_copy(update={"spacing_mm": (0.9, 2.7)}))["pixel_size"] == [0.9, 2.7]


@pytest.mark.filterwarnings("ignore:.*has other units than the training data")
def test_a_set_that_states_no_pixel_size_is_not_evaluated_with_such_a_model(run, hands_2d, tmp_path):
    root = flattened(hands_2d, tmp_path / "plain", spacing=(1.0, 1.0), suffix=".png")
    with pytest.raises(DatasetError, match=r"dataset\.yaml: spacing_mm: is missing\. .* not square"):
        evaluate_run.evaluate(run, "val", root=root, out=tmp_path / "out")
    (root / "dataset.yaml").write_text((root / "dataset.yaml").read_text() + "spacing_mm: [0.9, 2.7]\n")
    same = evaluate_run.evaluate(run, "val", root=root, out=tmp_path / "out")[0]["pe_mean_mm"]
    assert same == pytest.approx(evaluate_run.evaluate(run, "val", out=tmp_path / "own")[0]["pe_mean_mm"], rel=1e-4)


def test_parity_compares_the_pixels_that_callers_send(run, exported, flat, tmp_path, capsys):
    assert cli.main(["check_parity", str(run), str(exported.parent)]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()][1:] == ["Keras", "flat", "flat, pixels"]
    # An export of an earlier version, which takes every pixel as square.
    network, info = checkpoints.load_model(run / "model.keras")
    stated = {key: value for key, value in info.to_json().items() if key != "pixel_aspect"}
    checkpoints.save_model(network, tmp_path / "old.keras", ModelInfo.from_json(stated))
    old = export.export_saved_model(tmp_path / "old.keras", tmp_path / "old")
    rows, _ = parity.check(run, [old], images=1)
    assert [row.passed for row in rows] == [True, True, False]
    assert rows[2].largest > 1


def test_parity_compares_volumes_with_their_spacing(run_3d, saved_3d, hands_3d, monkeypatch):
    out = saved_3d
    rows, _ = parity.check(run_3d, [out])
    assert [(row.form, row.passed) for row in rows] == [("Keras", True), ("1", True), ("1, volumes", True)]
    # Not by chance: a caller who forgets the pixel size would be seen.
    sent = parity.Sent(dataset.open_dataset(hands_3d), scn_tf.load(run_3d).info.config.model, [])
    monkeypatch.setattr(dataset.Dataset, "pixel_size", lambda self, image: np.array([1.0, 1.0, 2.0]))
    found = parity.open_forms(out, saved_model.open_model(out)[1], sent)[1].find({"id": "hand_003", "file": "hand_003"})
    monkeypatch.undo()
    right = parity.open_forms(out, saved_model.open_model(out)[1], sent)[1].find({"id": "hand_003", "file": "hand_003"})
    assert np.abs(found.landmarks - right.landmarks).max() > 0.5
