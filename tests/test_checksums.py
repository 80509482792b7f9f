"""Damaged models: every form refuses them at opening, or answers as if nothing were wrong."""

import contextlib
import io
import json
import shutil
import zipfile

import keras
import numpy as np
import onnx as onnx_package
import pytest
import tensorflow as tf

import scn_tf
from scn_tf import combine_runs, export, train_run
from scn_tf.errors import CheckpointError, ConversionError
from scn_tf.export import onnx_weights, reading
from scn_tf.runs import checkpoints, pretrained
from scn_tf.serving import servable
from scn_tf.storage import checksums
from tests.conftest import small_config

FOREST = dict(forest__trees=2, forest__features=20, forest__samples=40, forest__leaf=3)
FILES = ("keras", "halved", "ensemble", "forests", "onnx", "none", "dynamic", "int8")
ERRORS = (CheckpointError, ConversionError)


@pytest.fixture(scope="module")
def forms(run_2d, saved_2d, files_2d, hands_2d, tmp_path_factory):
    """Path of every form by name."""
    folder = tmp_path_factory.mktemp("forms")
    train_run.train(small_config(hands_2d, model__name="forest", **FOREST), folder / "forests")
    combine_runs.combine([run_2d, run_2d], folder / "pair.keras")
    checkpoints.halve(pretrained.find("hand_xray"), folder / "half.keras", pretrained.describe("hand_xray"))
    return {
        "keras": run_2d / "model.keras",
        "halved": folder / "half.keras",
        "ensemble": folder / "pair.keras",
        "forests": folder / "forests" / "model.npz",
        "saved_model": saved_2d,
        **files_2d,
    }


def damages(content, rng, count):
    """The content with 64 bytes zeroed, with one bit flipped, and cut, at many places; beside the seeded ones the ends."""
    places = [0, 30, len(content) - 140, len(content) - 80, len(content) - 64, *rng.integers(0, len(content) - 64, count)]
    for place in map(int, places):
        zeroed = content[:place] + bytes(64) + content[place + 64 :]
        flipped = content[:place] + bytes([content[place] ^ 1 << int(rng.integers(8))]) + content[place + 1 :]
        yield from (changed for changed in (zeroed, flipped, content[:place]) if changed != content)


@pytest.mark.parametrize("form", FILES)
def test_a_file_with_a_changed_byte_is_refused_by_name(form, forms, tmp_path, rng):
    content, path = forms[form].read_bytes(), tmp_path / f"spoilt{forms[form].suffix}"
    for changed in damages(content, rng, 40):
        path.write_bytes(changed)
        with pytest.raises(ERRORS, match=f"spoilt{path.suffix}: "):
            scn_tf.load(path)
    path.write_bytes(content)
    scn_tf.load(path)


def test_an_export_with_a_changed_byte_in_any_file_is_refused_by_name_by_all_who_open_it(forms, tmp_path, rng):
    folder = tmp_path / "1"
    shutil.copytree(forms["saved_model"], folder)
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name != "tf_serving_warmup_requests"]
    assert {path.name for path in names} >= {"saved_model.pb", "variables.index", "scn_tf.json", "fingerprint.pb", "scn_tf.sha256"}
    for name in names:
        content = (folder / name).read_bytes()
        for changed in damages(content, rng, 6) if len(content) > 150 else [content[:-1], b"\0" + content[1:]]:
            (folder / name).write_bytes(changed)
            for opener in (scn_tf.load, servable.load):
                with pytest.raises(CheckpointError, match=f"1: is damaged: .*{name.name}"):
                    opener(folder)
        (folder / name).unlink()
        with pytest.raises(CheckpointError, match=r"1: is damaged|no SavedModel|no model there"):
            scn_tf.load(folder)
        (folder / name).write_bytes(content)
    servable.load(folder)


def test_warm_up_requests_may_be_written_anew(forms, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(forms["saved_model"], folder)
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"others")
    assert scn_tf.load(folder).names == scn_tf.load(forms["saved_model"]).names


def without_checksum(path, target, *, stated):
    """The file as an earlier version wrote it; ``stated`` leaves the word that there is a checksum."""

    def text(content):
        values = json.loads(content)
        assert values.pop("checksum") == "sha256"
        return json.dumps({**values, "checksum": "sha256"} if stated else values)

    if path.suffix in (".keras", ".npz"):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                if name == "metadata.npy":
                    buffer = io.BytesIO()
                    np.save(buffer, np.array(text(str(np.load(io.BytesIO(content))))))
                    content = buffer.getvalue()
                new.writestr(name, text(content) if name == "scn_tf.json" else content)
    elif path.suffix == ".onnx":
        model = onnx_package.load(path)
        del model.metadata_props[-1]
        assert model.metadata_props[0].key == "scn_tf.json"
        model.metadata_props[0].value = text(model.metadata_props[0].value)
        onnx_package.save(model, target)
    else:
        content = path.read_bytes()[: -len(checksums.PLACEHOLDER)]
        if not stated:  # as many bytes, so that nothing else moves
            content = content.replace(b', "checksum": "sha256"', b"                      ")
        target.write_bytes(content)
    return target


@pytest.mark.parametrize("form", FILES)
def test_a_file_of_an_earlier_version_opens_and_one_whose_checksum_was_removed_does_not(form, forms, tmp_path, rng):
    path, image = forms[form], rng.normal(size=(50, 40))
    old = without_checksum(path, tmp_path / f"old{path.suffix}", stated=False)
    np.testing.assert_array_equal(scn_tf.load(old).predict(image).landmarks, scn_tf.load(path).predict(image).landmarks)
    bare = without_checksum(path, tmp_path / f"bare{path.suffix}", stated=True)
    with pytest.raises(ERRORS, match=rf"bare\{path.suffix}: .*its checksum is missing"):
        scn_tf.load(bare)


def test_an_export_of_an_earlier_version_opens_and_one_whose_list_was_removed_does_not(forms, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(forms["saved_model"], folder)
    (folder / checksums.LIST).unlink()
    for opener in (scn_tf.load, servable.load):
        with pytest.raises(CheckpointError, match=r"1: is damaged: scn_tf\.sha256 is missing, which it states"):
            opener(folder)
    stated = json.loads((folder / "assets" / "scn_tf.json").read_text())
    del stated["checksum"]
    (folder / "assets" / "scn_tf.json").write_text(json.dumps(stated))
    assert scn_tf.load(folder).info.to_json() == stated == scn_tf.load(forms["saved_model"]).info.to_json()
    servable.load(folder)


def test_the_checksum_is_what_the_documentation_says(forms):
    import hashlib

    for form in FILES:
        content = forms[form].read_bytes()
        assert content[-71:] == b"sha256:" + hashlib.sha256(content[:-64]).hexdigest().encode()
        assert "checksum" not in scn_tf.load(forms[form]).info.to_json()
    listed = (forms["saved_model"] / "scn_tf.sha256").read_text().splitlines()
    for line in listed[:-1]:
        digest, name = line.split("  ")
        assert hashlib.sha256((forms["saved_model"] / name).read_bytes()).hexdigest() == digest
    assert len(listed) == 6


def with_weight(network, value):
    weights = network.get_weights()
    weights[2].flat[1] = value
    network.set_weights(weights)
    return network


@pytest.mark.parametrize(
    ("value", "forms_of_it"), [(np.nan, ("tflite", "float16", "onnx", "saved_model")), (-np.inf, ("tflite", "float16"))]
)
def test_weights_that_are_not_finite_are_refused_in_networks_and_exports(value, forms_of_it, run_2d, tmp_path, monkeypatch):
    network, info = checkpoints.load_model(run_2d / "model.keras")
    checkpoints.save_model(with_weight(network, value), tmp_path / "nan.keras", info)
    for opener in (scn_tf.load, lambda path: export.export_tflite(path, tmp_path / "a.tflite")):
        with pytest.raises(CheckpointError, match=r"nan\.keras: .*weights are not finite"):
            opener(tmp_path / "nan.keras")
    # As an earlier version exported it.
    exporters = {
        "tflite": lambda: export.export_tflite(run_2d, tmp_path / "nan.tflite"),
        "float16": lambda: export.export_tflite(run_2d, tmp_path / "half.tflite", quantize="float16"),
        "onnx": lambda: export.export_onnx(run_2d, tmp_path / "nan.onnx"),
        "saved_model": lambda: export.export_saved_model(run_2d, tmp_path / "served"),
    }
    with monkeypatch.context() as unchecked:
        unchecked.setattr(checkpoints, "load_model", lambda path: (network, info))
        made = [exporters[form]() for form in forms_of_it]
    for path in made:
        for opener in (scn_tf.load, servable.load) if path.is_dir() else (scn_tf.load,):
            with pytest.raises(ERRORS, match=f"{path.name}: .*weights are not finite"):
                opener(path)


def test_forests_that_are_not_finite_are_refused(forms, tmp_path):
    with np.load(forms["forests"]) as archive:
        arrays = dict(archive)
    for name in ("0/0/values", "1/0/threshold"):
        spoilt = arrays[name].copy()
        spoilt.flat[0] = np.nan
        np.savez(tmp_path / "spoilt.npz", **{**arrays, name: spoilt})
        checksums.fill_zip(tmp_path / "spoilt.npz")
        with pytest.raises(CheckpointError, match=rf"spoilt\.npz: .*not finite, .*\({name}\)"):
            scn_tf.load(tmp_path / "spoilt.npz")


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("raw", [True, False])
def test_every_way_to_store_a_constant_in_onnx_is_looked_at(kind, raw, tmp_path):
    helper, types = onnx_package.helper, onnx_package.TensorProto
    element = {"float32": types.FLOAT, "float16": types.FLOAT16, "bfloat16": types.BFLOAT16, "float64": types.DOUBLE}[kind]
    for value in (2.0, np.nan, np.inf):
        values = tf.cast(tf.constant([1.0, value]), kind).numpy()
        content = values.tobytes() if raw else values
        tensor = helper.make_tensor("weight", element, [2], content, raw=raw)
        inner = helper.make_node("Constant", [], ["y"], value=tensor)
        graphs = [
            helper.make_graph([], "graph", [], [], initializer=[tensor]),
            helper.make_graph([inner], "graph", [], []),
            helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=helper.make_graph([inner], "inner", [], []))], "g", [], []),
        ]
        for graph in graphs:
            found = onnx_weights.find_strange(helper.make_model(graph).SerializeToString())
            assert found == (None if value == 2.0 else "weight")
    tensor.data_location = types.EXTERNAL
    with pytest.raises(onnx_weights.ExternalWeights):
        onnx_weights.find_strange(helper.make_model(helper.make_graph([], "g", [], [], initializer=[tensor])).SerializeToString())


def test_rubbish_of_any_kind_ends_in_an_error_of_ours(forms, tmp_path, rng):
    for form in ("onnx", "none"):
        content = without_checksum(forms[form], tmp_path / "bare", stated=False).read_bytes()
        for changed in damages(content, rng, 10):
            path = tmp_path / f"spoilt.{'onnx' if form == 'onnx' else 'tflite'}"
            path.write_bytes(changed)
            with contextlib.suppress(*ERRORS):  # nothing else; a weight that became another is not seen without a checksum
                reading.localizer(path)


def test_a_damaged_training_state_is_refused_or_the_same(tmp_path, rng):
    variables = [keras.Variable(rng.normal(size=(9, 7)).astype("float32")) for _ in range(3)]
    wanted = [variable.numpy() for variable in variables]
    checkpoints.save_state(variables, tmp_path / "last.npz", {"epoch": 1})
    for changed in damages((tmp_path / "last.npz").read_bytes(), rng, 80):
        (tmp_path / "spoilt.npz").write_bytes(changed)
        with contextlib.suppress(CheckpointError):
            assert checkpoints.load_state(variables, tmp_path / "spoilt.npz") == {"epoch": 1}
        for variable, array in zip(variables, wanted, strict=True):
            np.testing.assert_array_equal(variable, array)
