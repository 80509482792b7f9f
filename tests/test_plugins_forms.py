"""Forms of export from outside the package: registered in a program, and offered by an installed package."""

import csv
import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

import scn_tf
from scn_tf import cli
from scn_tf.errors import ConversionError, WriteError
from scn_tf.export import choice, write
from scn_tf.export.forms import FORMS
from tests.conftest import REPOSITORY

PLUGIN = '''
"""A form that another package would ship: weights and layers as an archive of arrays."""

import json
from pathlib import Path

import scn_tf
from scn_tf.export.forms import Option


def write(run, path, *, weights="exact"):
    import numpy as np
    from scn_tf.runs import checkpoints
    from scn_tf.systems import opening

    network, info = checkpoints.load_model(opening.network_file(run))
    stated = info.public().model_copy(update={"quantize": weights}).to_json()
    kind = {"exact": "float32", "half": "float16"}[weights]
    arrays = {f"w{index:03d}": array.astype(kind) for index, array in enumerate(network.get_weights())}
    with open(path, "wb") as file:
        np.savez(file, layers=network.to_json(), **arrays, **{"scn_tf.json": json.dumps(stated)})
    return Path(path)


def open_file(path):
    import keras
    import numpy as np
    from scn_tf.errors import ConversionError
    from scn_tf.export.answers import answer_of
    from scn_tf.runs import info as infos

    try:
        archive = np.load(path)
    except ValueError as error:
        raise ConversionError(f"{path}: is no archive ({error}).") from None
    info = infos.read(json.loads(str(archive["scn_tf.json"])), path)
    network = keras.models.model_from_json(str(archive["layers"]))
    network.set_weights([archive[name] for name in sorted(archive.files) if name.startswith("w")])
    return lambda images: answer_of(info).of_maps(network(images)), info


TOY = scn_tf.ExportForm(
    name="toy",
    title="Toy",
    description="tests",
    suffix=".toy",
    write=write,
    open=open_file,
    options=[Option("weights", "how weights are stored", "choice", ("exact", "half"))],
    more_error={"half": 0.5},
)
'''


@pytest.fixture
def toy():
    """The form, registered as a program does it."""
    namespace = {"__name__": "toy"}
    exec(PLUGIN, namespace)
    scn_tf.register_export_form(namespace["TOY"])
    yield namespace["TOY"]
    FORMS.unregister("toy")


def points(path):
    with open(path, newline="") as file:
        return np.array([[float(row["x"]), float(row["y"])] for row in csv.DictReader(file)])


def test_a_registered_form_is_written_opened_and_compared_by_the_commands(toy, calibrated_2d, hands_2d, tmp_path, capsys):
    out, image = tmp_path / "hands.toy", hands_2d / "images" / "hand_008.png"
    for _ in range(2):  # what it wrote itself may be replaced
        assert cli.main(["export", str(calibrated_2d), str(out)]) == 0
        assert capsys.readouterr().out == f"toy         {out}\n"
    for model, table in ((calibrated_2d, "keras.csv"), (out, "toy.csv")):
        assert cli.main(["predict", str(model), str(image), "--out", str(tmp_path / table)]) == 0
    np.testing.assert_allclose(points(tmp_path / "toy.csv"), points(tmp_path / "keras.csv"), atol=0.002)
    assert cli.main(["export", str(calibrated_2d), str(tmp_path / "half.toy"), "--weights", "half"]) == 0
    capsys.readouterr()
    assert cli.main(["check-parity", str(calibrated_2d), str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[2].endswith("  largest 0.05, radius and flags 1 %  ok")
    cli.main(["check-parity", str(calibrated_2d), str(tmp_path / "half.toy")])  # a hardly trained network may jump between two peaks
    assert "  error +0.5" in capsys.readouterr().out.splitlines()[2]
    loaded = scn_tf.load(tmp_path / "half.toy")
    assert loaded.info.quantize == "half"
    assert str(hands_2d) not in str(loaded.info)


def test_its_option_ending_and_files_are_known_everywhere(toy, run_2d, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    assert "--form {saved_model,tflite,onnx,toy}" in help_text
    assert "Toy: how weights are stored (default: exact)" in help_text
    for arguments, message in (
        (["run.onnx", "--weights", "half"], "--weights: half is for Toy; run.onnx would be written as ONNX."),
        (["run.toy", "--quantize", "int8"], "--quantize: int8 is for TFLite; run.toy would be written as Toy."),
        (["run.h5"], "run.h5: .h5 is no form of export; expected FILE.tflite, FILE.onnx, FILE.toy or a folder."),
    ):
        assert cli.main(["export", str(run_2d), *arguments]) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(ConversionError, match="`weights`: expected one of exact, half, received 'third'"):
        write(run_2d, tmp_path / "run.toy", weights="third")
    with pytest.raises(ConversionError, match="`colour`: red is for no form of export"):
        write(run_2d, tmp_path / "run.toy", colour="red")
    (tmp_path / "mine.toy").write_bytes(b"a drawing")
    with pytest.raises(WriteError, match=r"mine\.toy: already exists and was not written by scn_tf"):
        write(run_2d, tmp_path / "mine.toy")
    with pytest.raises(ConversionError, match=r"mine\.toy: is no archive"):
        scn_tf.load(tmp_path / "mine.toy")
    with pytest.raises(scn_tf.CheckpointError, match=r"none\.toy: no such file"):
        scn_tf.load(tmp_path / "none.toy")
    with pytest.raises(scn_tf.CheckpointError, match=r"a \.keras, \.npz, \.tflite, \.onnx or \.toy file, an exported SavedModel, or"):
        scn_tf.load(tmp_path)


def test_a_file_that_fails_half_way_is_not_there(toy, run_2d, tmp_path):
    def half(run, path):
        path.write_bytes(b"half")
        raise ConversionError("no more")

    broken = dataclasses.replace(toy, name="broken", write=half)
    with pytest.raises(ConversionError, match="no more"):
        write(run_2d, tmp_path / "run.toy", broken)
    assert list(tmp_path.iterdir()) == []


def test_a_form_of_folders_is_found_by_what_it_holds(toy, run_2d, hands_2d, tmp_path):
    def write_folder(run, out):
        out.mkdir(parents=True, exist_ok=True)
        return toy.write(run, out / "weights.toy").parent

    form = dataclasses.replace(
        toy,
        name="toy_folder",
        title="toy folder",
        suffix="",
        write=write_folder,
        open=lambda path: toy.open(path / "weights.toy"),
        is_there=lambda path: (path / "weights.toy").is_file(),
        options=(),
    )
    scn_tf.register_export_form(form)
    try:
        assert choice.form_of(tmp_path / "hands-1.2").name == "saved_model"
        assert cli.main(["export", str(run_2d), str(tmp_path / "hands"), "--form", "toy_folder"]) == 0
        image = hands_2d / "images" / "hand_008.png"
        found, expected = (scn_tf.load(path).predict(image).landmarks for path in (tmp_path / "hands", run_2d))
        np.testing.assert_allclose(found, expected, atol=1e-3)
    finally:
        FORMS.unregister("toy_folder")


def test_an_installed_package_adds_a_form_and_a_broken_one_leaves_the_others(run_2d, tmp_path):
    folder = tmp_path / "site"
    (folder / "toy_plugin-1.0.dist-info").mkdir(parents=True)
    (folder / "toy_plugin-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (folder / "toy_plugin-1.0.dist-info" / "entry_points.txt").write_text("[scn_tf.export_forms]\ntoy = toy_plugin:TOY\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}

    def run(*arguments):
        command = [sys.executable, "-m", "scn_tf", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    (folder / "toy_plugin.py").write_text(PLUGIN)
    assert run("export", run_2d, tmp_path / "hands.toy").stdout == f"toy         {tmp_path / 'hands.toy'}\n"
    (folder / "toy_plugin.py").write_text("raise RuntimeError('broken')\n")
    assert "--quantize" in run("export", "--help").stdout
    failed = run("export", run_2d, tmp_path / "other.toy")
    assert failed.returncode == 1
    assert "form of export toy: the plug-in that offers it cannot be imported (RuntimeError: broken)" in failed.stderr


def test_the_tables_of_the_serving_page_are_those_of_the_rows():
    page = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    for form in FORMS.values():
        target = f"`FILE{form.suffix}`" if form.suffix else "a folder"
        options = [f"`--{'data.root' if option.name == 'root' else option.name}`" for option in form.options if option.kind != "value"]
        assert [f"`{form.name}`", target, form.description, ", ".join(options)] in rows
    limits = [(row[0], row[1].split(",")[0], row[3]) for row in rows if row[2:3] == ["growth of the mean error"]]
    assert limits == [(form.title, kind, f"{growth:g} mm") for form in FORMS.values() for kind, growth in form.more_error.items()]
    quantize = FORMS["tflite"].option("quantize")
    start = next(number for number, row in enumerate(rows) if row[0] == "`--quantize`")
    assert {row[0].strip("`") for row in rows[start + 2 : start + 2 + len(quantize.choices)]} == set(quantize.choices)
