"""TFLite and ONNX files, and the comparison of all forms with Keras."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

import scn_tf
from scn_tf import cli, errors, export, train_run
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DatasetError
from scn_tf.export import parity, reading
from scn_tf.export.forms import FORMS, tflite
from scn_tf.export.forms.tflite.reading import read_info
from scn_tf.runs import checkpoints
from tests.conftest import EXACT, small_config


@pytest.fixture
def files(files_2d):
    """Every TFLite form and ONNX of one run, by name."""
    return files_2d


def expected(run, images):
    """Whole-pixel maxima (B, N, d) of Keras' heatmaps, and their heights."""
    network, _ = checkpoints.load_model(run / "model.keras")
    maps = network(images).numpy()
    flat = maps.reshape(len(maps), -1, maps.shape[-1])
    return np.stack(np.unravel_index(flat.argmax(axis=1), maps.shape[1:-1])[::-1], axis=-1), flat.max(axis=1)


@pytest.mark.parametrize("form", ["none", "float16", "dynamic", "int8", "onnx"])
def test_a_file_answers_through_load_and_tells_what_it_is(files, form, run_2d, hands_2d):
    path = hands_2d / "images" / "hand_008.png"
    loaded, reference = scn_tf.load(files[form]), scn_tf.load(run_2d)
    assert loaded.names == reference.names
    assert str(hands_2d) not in str(loaded.info)
    found, wanted = loaded.predict(path), reference.predict(path)
    if form in ("none", "onnx"):
        np.testing.assert_allclose(found.landmarks, wanted.landmarks, atol=10 * EXACT)
    # Coarser forms of a hardly trained network may take another of two equal peaks: their heights must agree.
    tolerance = {"none": 1e-4, "onnx": 1e-4, "float16": 0.01}.get(form, 0.2)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=tolerance * np.abs(wanted.scores).max())


@pytest.mark.parametrize("form", ["float16", "dynamic", "int8"])
def test_a_smaller_file_answers_where_keras_has_a_high_place(files, form, run_2d, hands_2d):
    dataset, settings = open_dataset(hands_2d), small_config(hands_2d).resolved(2)
    images = np.stack([example["image"] for example in pipeline.examples(dataset, dataset.split("train"), settings)])
    maps = checkpoints.load_model(run_2d / "model.keras")[0](images).numpy()
    landmarks = reading.localizer(files[form])[0](images).landmarks
    x, y = np.rint(landmarks).astype(int).transpose(2, 0, 1)
    heights = maps[np.arange(len(images))[:, None], y, x, np.arange(maps.shape[-1])]
    low, high = maps.min(axis=(1, 2)), maps.max(axis=(1, 2))
    # Of all places on a map, the median one lies far below; a constant answer would too.
    assert np.median((heights - low) / (high - low)) > 0.9
    assert len(np.unique(landmarks.reshape(-1, 2), axis=0)) > 10


@pytest.mark.parametrize("form", ["none", "onnx"])
def test_the_decoder_inside_finds_the_maxima(files, form, run_2d, rng):
    locate, _ = reading.localizer(files[form])
    images = rng.normal(size=(3, 48, 32, 1)).astype("float32")
    landmarks, scores, *_ = locate(images)
    whole, heights = expected(run_2d, images)
    assert np.abs(landmarks - whole).max() <= 0.5
    np.testing.assert_allclose(scores, heights, rtol=1e-3, atol=1e-6)


def test_the_first_prediction_of_a_program_prints_nothing(files, hands_2d):
    image = hands_2d / "images" / "hand_008.png"
    program = f"import scn_tf; scn_tf.load({str(files['none'])!r}).predict({str(image)!r})"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")


def test_tflite_has_builtins_fixed_batch_and_names(files):
    from ai_edge_litert.interpreter import Interpreter

    for form in tflite.QUANTIZATIONS:
        interpreter = Interpreter(model_path=str(files[form]))
        assert interpreter.get_signature_list() == {"serve_input": {"inputs": ["image"], "outputs": ["landmarks", "scores"]}}
        details = interpreter.get_signature_runner("serve_input").get_input_details()["image"]
        assert (details["shape"].tolist(), details["dtype"]) == ([1, 48, 32, 1], np.float32)
        assert read_info(files[form]).quantize == form
        assert not any(operator["op_name"].startswith(("Flex", "CUSTOM")) for operator in interpreter._get_ops_details())


def test_int8_computes_convolutions_in_integers_and_the_rest_in_float(files):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(files["int8"]))
    types = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    kinds = {}
    for operator in interpreter._get_ops_details():
        kinds.setdefault(operator["op_name"], set()).add(types[operator["outputs"][0]])
    assert kinds["CONV_2D"] == {np.int8}
    assert kinds["TANH"] == kinds["BATCH_MATMUL"] == {np.float32}
    assert files["int8"].stat().st_size < files["none"].stat().st_size


def test_heatmaps_come_along_on_request(run_2d, tmp_path, rng):
    from ai_edge_litert.interpreter import Interpreter

    path = export.export_tflite(run_2d, tmp_path / "maps.tflite", heatmaps=True)
    image = rng.normal(size=(1, 48, 32, 1)).astype("float32")
    result = Interpreter(model_path=str(path)).get_signature_runner("serve_input")(image=image)
    network, _ = checkpoints.load_model(run_2d / "model.keras")
    np.testing.assert_allclose(result["heatmaps"], network(image), atol=1e-5)


def test_a_3d_network_goes_to_onnx_and_tflite_says_what_it_lacks(run_3d, tmp_path, rng, capsys):
    locate, _ = reading.localizer(export.export_onnx(run_3d, tmp_path / "run.onnx"))
    images = rng.normal(size=(2, 8, 16, 12, 1)).astype("float32")
    landmarks = locate(images).landmarks
    assert np.abs(landmarks - expected(run_3d, images)[0]).max() <= 0.5
    assert cli.main(["export", str(run_3d), str(tmp_path / "run.tflite")]) == 1
    message = capsys.readouterr().err
    assert "AvgPool3D" in message
    assert "Export it as SavedModel or ONNX." in message
    assert not (tmp_path / "run.tflite").exists()


@pytest.mark.parametrize(("name", "content"), [("a.tflite", b"no model"), ("a.tflite", b""), ("a.onnx", b"no model"), ("a.onnx", b"")])
def test_files_that_are_no_models_are_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.ConversionError, match=name):
        scn_tf.load(tmp_path / name)


def test_an_onnx_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(errors.ConversionError, match=r"none\.onnx: no such file\.$"):
        reading.localizer(tmp_path / "none.onnx")


def test_parity_passes_for_exports_of_the_run_and_says_how_far_they_are(files, run_2d, saved_2d, capsys):
    saved = saved_2d.parent
    status = cli.main(["check_parity", str(run_2d), str(saved), str(files["none"]), str(files["onnx"])])
    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert [line.split()[0] for line in lines] == ["form", "Keras", "hands", "hands,", "none.tflite", "run.onnx"]
    assert all(line.endswith("  largest 0.05   ok") for line in lines[1:])


def test_parity_without_any_annotation_is_no_verdict(files, run_2d, hands_2d, tmp_path):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    lines = (root / "landmarks.csv").read_text().splitlines()
    first = (root / "splits" / "val.txt").read_text().split()[0]
    lines = [first + 42 * "," if line.startswith(f"{first},") else line for line in lines]
    (root / "landmarks.csv").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match="none of the 1 images has an annotated landmark"):
        parity.check(run_2d, [files["int8"]], root=root, images=1)


def test_parity_fails_for_a_form_that_is_too_far_off(files, run_2d, capsys):
    rows, unit = parity.check(run_2d, [files["int8"]], images=2)
    assert unit == "mm"
    assert rows[1].largest > 1e-6  # integers are not floats: a comparison that finds no difference compares nothing
    assert cli.main(["check_parity", str(run_2d), str(files["int8"]), "--images", "2", "--tolerance", "1e-6"]) == 1
    assert "  largest 1e-06  TOO FAR" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "shift", "passes"),
    [
        ("none", 0.04, True),
        ("none", 0.06, False),
        ("float16", 0.054, True),
        ("float16", 0.3, False),
        ("int8", 0.3, True),
        ("int8", 3.0, False),
    ],
)
def test_parity_judges_float_forms_by_points_and_smaller_ones_by_their_error(kind, shift, passes, tmp_path):
    """Three landmarks, true at 0; Keras errs by 1 px, the form by ``shift`` more in one of the three."""
    (tmp_path / "file").write_bytes(b"12")
    one = np.ones(2, "float32")
    example = {"landmarks": np.zeros((3, 2)), "annotated": np.ones(3), "unit_per_pixel": 0.5 * one, "file_per_pixel": one}
    keras = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    moved = keras + np.array([[shift, 0.0], [0.0, 0.0], [0.0, 0.0]])
    more_error = FORMS["tflite"].more_error.get(kind)
    forms = [parity.Compared("Keras", tmp_path, None, lambda _: keras), parity.Compared("form", tmp_path, more_error, lambda _: moved)]
    first, second = parity.measure(forms, [example, example])
    assert first.passed
    np.testing.assert_allclose([second.largest, second.mean, second.error - first.error], [shift, shift / 3, shift / 6], rtol=1e-6)
    assert second.megabytes == 2e-6
    assert second.passed is passes
    assert second.limit == ("largest 0.05" if kind == "none" else f"error +{more_error:g}")


def test_parity_refuses_an_export_of_another_run(files, run_3d):
    with pytest.raises(errors.ConversionError, match="another network"):
        parity.check(run_3d, [files["onnx"]])


@pytest.mark.parametrize(("name", "decoder"), [("unet", "gaussian"), ("payer2016", "centroid"), ("downsampling", "quadratic")])
def test_other_networks_and_decoders_are_exported_too(name, decoder, hands_2d, tmp_path):
    run, image = tmp_path / "run", hands_2d / "images" / "hand_008.png"
    train_run.train(small_config(hands_2d, model__name=name, model__filters=21, heatmap__decoder=decoder), run)
    wanted = scn_tf.load(run).predict(image).landmarks
    exports = [
        export.export_saved_model(run, tmp_path / "served"),
        export.export_onnx(run, tmp_path / "run.onnx"),
        export.export_tflite(run, tmp_path / "run.tflite"),
    ]
    for path in exports:
        np.testing.assert_allclose(scn_tf.load(path).predict(image).landmarks, wanted, atol=10 * EXACT)
    if name == "payer2016":
        # Fewer bits may choose another of two near-equal peaks, but it must be written and answer.
        whole = export.export_tflite(run, tmp_path / "int8.tflite", quantize="int8")
        assert scn_tf.load(whole).predict(image).landmarks.shape == wanted.shape
