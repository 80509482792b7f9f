"""Label maps in every form of export: the labels are those of Keras."""

import numpy as np
import pytest
import tensorflow as tf

import scn_tf
from scn_tf import cli, export
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import CheckpointError
from scn_tf.export import reading
from scn_tf.export.forms import FORMS
from scn_tf.runs import checkpoints
from scn_tf.serving import servable
from scn_tf.systems.label_map import maps

EQUAL = 0.999  # share of pixels
TARGETS = {"saved_model": "served", **{form.name: f"run{form.suffix}" for form in FORMS.values() if form.suffix}}


@pytest.fixture(scope="module")
def exports(label_run_2d, tmp_path_factory):
    """The same run in every form, by name."""
    folder = tmp_path_factory.mktemp("labels")
    return {name: export.write(label_run_2d, folder / TARGETS[name], form) for name, form in FORMS.items()}


@pytest.fixture(scope="module")
def images(label_run_2d, hands_2d):
    dataset, info = open_dataset(hands_2d), checkpoints.read_info(label_run_2d / "model.keras")
    return maps.read_examples(dataset, dataset.split("train"), info.config.model)[0]


@pytest.fixture(scope="module")
def expected(label_run_2d, images):
    """Label maps (I, H, W) of Keras."""
    return checkpoints.load_model(label_run_2d / "model.keras")[0](images).numpy().argmax(axis=-1)


@pytest.mark.parametrize("form", FORMS)
def test_an_export_gives_the_labels_of_keras(form, exports, images, expected):
    respond, info = reading.form_at(exports[form]).open(exports[form])
    found = respond(images)
    assert list(found) == ["labels"]
    labels = np.asarray(found["labels"])
    assert (labels.dtype, labels.shape) == (np.uint8, expected.shape)
    assert len(np.unique(expected)) > 2  # else a constant would do
    assert (labels == expected).mean() >= EQUAL
    assert info.finds_labels


def test_smaller_forms_give_nearly_the_same_labels(label_run_2d, images, expected, tmp_path):
    path = export.export_tflite(label_run_2d, tmp_path / "int8.tflite", quantize="int8")
    labels = FORMS["tflite"].open(path)[0](images)["labels"]
    assert (labels == expected).mean() >= 0.9
    assert path.stat().st_size < export.export_tflite(label_run_2d, tmp_path / "none.tflite").stat().st_size


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_heatmaps_are_included_on_request(form, label_run_2d, tmp_path, images, expected):
    path = export.write(label_run_2d, tmp_path / TARGETS[form], FORMS[form], heatmaps=True)
    if form == "tflite":
        from ai_edge_litert.interpreter import Interpreter

        found = Interpreter(model_path=str(path)).get_signature_runner("serve_input")(image=images[:1])
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(names, {"image": images[:1]}), strict=True))
    assert sorted(found) == ["heatmaps", "labels"]
    assert (found["heatmaps"].argmax(axis=-1) == expected[:1]).mean() >= EQUAL


def test_a_saved_model_has_the_signatures_of_the_network_alone(exports, images, expected):
    served = servable.load(exports["saved_model"])
    assert set(served.signatures) == {"serve_input", "serve_heatmaps"}
    servable.warm_up(served)
    assert (servable.run(served.signatures["serve_input"], {"image": images})["labels"] == expected).mean() >= EQUAL
    heatmaps = served.module.signatures["serve_heatmaps"](image=tf.constant(images))
    assert set(heatmaps) == {"product", "local", "spatial"}
    assert (heatmaps["product"].numpy().argmax(axis=-1) == expected).mean() >= EQUAL


@pytest.mark.parametrize("form", FORMS)
def test_what_needs_landmarks_refuses_the_export_in_one_line(form, exports, hands_2d, tmp_path, capsys):
    with pytest.raises(CheckpointError, match="finds label maps, not landmarks; call the export with its own runtime"):
        scn_tf.load(exports[form])
    image, out = hands_2d / "images" / "hand_008.png", tmp_path / "points.csv"
    assert cli.main(["predict", str(exports[form]), str(image), "--out", str(out)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not out.exists()
