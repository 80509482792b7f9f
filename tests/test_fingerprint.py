"""Data that changed under a run, or under a model."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import yaml

from scn_tf import cli, config, evaluate_run, train_run
from scn_tf.data import fingerprint
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import CheckpointError, DatasetError, DataWarning
from scn_tf.export import parity
from scn_tf.export.forms.tflite.writing import training_images
from scn_tf.runs import checkpoints
from scn_tf.runs.folder import RunFolder
from scn_tf.storage import files
from scn_tf.training import resuming
from tests.conftest import small_config
from tests.test_work_kept import interrupted


@pytest.fixture
def moved(hands_2d, tmp_path):
    """A copy of the data set elsewhere, to be changed."""
    return shutil.copytree(hands_2d, tmp_path / "moved", copy_function=shutil.copyfile)


@pytest.fixture
def run(run_2d, tmp_path):
    return shutil.copytree(run_2d, tmp_path / "run")


def prepare(root, run, **options):
    return train_run.prepare(config.from_dict({"data": {"root": str(root)}}), RunFolder(run), resume=True, **options)


def describe(root, **changes):
    path = root / "dataset.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


def edit_row(root, number, column, value):
    path = root / "landmarks.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[number][column] = value
    path.write_text("\n".join(map(",".join, lines)) + "\n")


def edit_image(root, name):
    path = str(root / "images" / name)
    array = sitk.GetArrayFromImage(sitk.ReadImage(path))
    array[3, 4] ^= 1  # one grey level of one pixel
    sitk.WriteImage(sitk.GetImageFromArray(array), path)


def shorten_split(root, name):
    path = root / "splits" / f"{name}.txt"
    path.write_text("\n".join(path.read_text().split()[1:]) + "\n")


def exchange(root, first, second, *, split=None):
    path = root / "landmarks.csv" if split is None else root / "splits" / f"{split}.txt"
    lines = path.read_text().splitlines()
    lines[first], lines[second] = lines[second], lines[first]
    path.write_text("\n".join(lines) + "\n")


CHANGES = {
    "spacing": (lambda root: describe(root, spacing_mm=[0.1, 0.1]), r"spacing_mm was \[0\.9, 0\.9\], is \[0\.1, 0\.1\]"),
    "no spacing": (lambda root: describe(root, spacing_mm=None), r"spacing_mm was \[0\.9, 0\.9\], is None; unit was mm, is px"),
    "normalization": (
        lambda root: describe(root, normalization={"landmarks": [0, 5], "distance_mm": 50}),
        r"normalization was None, is \{'landmarks': \[0, 5\], 'distance_mm': 50\.0\}",
    ),
    "a training row": (lambda root: edit_row(root, 2, 1, "11.5"), r"landmarks of 1 of 7 training images differ \(hand_002\)"),
    "a validation row": (lambda root: edit_row(root, 8, 4, ""), r"landmarks of 1 of 3 validation images differ \(hand_008\)"),
    "an image": (lambda root: edit_image(root, "hand_001.png"), r"image files of 1 of 7 training images differ \(hand_001\)"),
    "fewer images": (lambda root: shorten_split(root, "train"), r"training images: 7 before, 6 now \(without hand_000\)"),
    "fewer to be judged by": (lambda root: shorten_split(root, "val"), r"validation images: 3 before, 2 now \(without hand_007\)"),
    "pairs": (lambda root: describe(root, flip_pairs=[[0, 1]]), r"flip_pairs was \[\], is \[\[0, 1\]\]"),
    "a new name": (
        lambda root: describe(root, landmarks=["a thumb", *yaml.safe_load((root / "dataset.yaml").read_text())["landmarks"][1:]]),
        r"landmark 0 was thumb_mcp, is a thumb",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_changed_is_named_and_refused_unless_it_is_accepted(kind, moved, run):
    change, message = CHANGES[kind]
    change(moved)
    before = (run / "data.json").read_bytes()
    with pytest.raises(DatasetError, match=f"the data are not those that .* was started with: {message}.*`accept_changed_data`"):
        prepare(moved, run)
    assert prepare(moved, run, accept_changed_data=True).changed
    assert (run / "data.json").read_bytes() == before


def test_a_set_that_was_moved_or_written_otherwise_is_the_same(moved, run):
    table = moved / "landmarks.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("".join(",".join([line[0], *(f" {float(v):.7f}" for v in line[1:])]) + "\r\n" for line in reversed(lines)))
    exchange(moved, 0, 1, split="val")
    (moved / "images" / "another.png").write_bytes((moved / "images" / "hand_003.png").read_bytes())
    assert prepare(moved, run).changed == []
    data = json.loads((run / "data.json").read_text())
    del data["flip_pairs"]  # as of versions that did not use them
    (run / "data.json").write_text(json.dumps(data))
    describe(moved, flip_pairs=[[0, 1]])
    assert prepare(moved, run).changed == []


def swap(names, first, second):
    names = list(names)
    names[first], names[second] = names[second], names[first]
    return names


@pytest.mark.parametrize("kind", ["exchanged", "shifted", "fewer", "channels"])
@pytest.mark.parametrize("accept", [False, True])
@pytest.mark.parametrize("known", [True, False])
def test_other_landmarks_are_refused_whatever_is_accepted(kind, accept, known, moved, run):
    """``known`` False: a run of an older version, which says only in its model what it was trained on."""
    names = yaml.safe_load((moved / "dataset.yaml").read_text())["landmarks"]
    if not known:
        (run / "data.json").unlink()
    if kind == "channels":
        describe(moved, channels=3)
    elif kind == "fewer":
        describe(moved, landmarks=names[:-1])
        path = moved / "landmarks.csv"
        path.write_text("\n".join(line.rsplit(",", 2)[0] for line in path.read_text().splitlines()))
    else:
        describe(moved, landmarks=swap(names, 2, 9) if kind == "exchanged" else [*names[1:], names[0]])
    expected = {
        "exchanged": f"landmark 2 was {names[2]} when this run was started, is {names[9]}",
        "shifted": f"landmark 0 was {names[0]} when this run was started, is {names[1]}",
        "fewer": "21 landmarks when this run was started, now 20",
        "channels": "channels was 1 when this run was started, is 3",
    }
    with pytest.raises(DatasetError, match=expected[kind]):
        prepare(moved, run, accept_changed_data=accept)


def test_a_run_of_an_older_version_is_compared_with_its_model(moved, run, hands_2d, recwarn):
    (run / "data.json").unlink()
    network, info = checkpoints.load_model(run / "model.keras")
    checkpoints.save_model(network, run / "model.keras", info.model_copy(update={"data": None}))
    assert prepare(hands_2d, run).changed == []
    assert not [warning for warning in recwarn.list if issubclass(warning.category, DataWarning)]
    edit_row(moved, 2, 1, "11.5")  # it cannot know
    assert prepare(moved, run).changed == []
    describe(moved, spacing_mm=[0.1, 0.1])
    with pytest.raises(DatasetError, match=r"spacing_mm was \[0\.9, 0\.9\], is \[0\.1, 0\.1\]"):
        prepare(moved, run)


def test_a_model_alone_knows_that_its_data_changed(moved, run):
    (run / "data.json").unlink()
    shorten_split(moved, "train")
    with pytest.raises(DatasetError, match=r"the training data .* differ: 7 images before, 6 now"):
        prepare(moved, run)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 9}'])
def test_a_damaged_fingerprint_is_refused(text, hands_2d, run):
    (run / "data.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"data\.json: cannot be read .*; remove it"):
        prepare(hands_2d, run)


def test_accepted_data_start_the_errors_afresh_and_keep_the_best_model_before(hands_2d, moved, tmp_path, monkeypatch):
    run = tmp_path / "run"
    interrupted(small_config(hands_2d, train__epochs=3), run, monkeypatch, epoch=1, errors=[0.01])
    best = (run / "model.keras").read_bytes()
    describe(moved, spacing_mm=[1.8, 1.8])
    settings = config.from_dict({"data": {"root": str(moved)}})
    with pytest.raises(DatasetError, match="accept_changed_data"):
        train_run.train(settings, run, resume=True)

    def full(source, target):
        raise OSError(28, "No space left on device")

    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.parent.name != "tensorboard"}
    with monkeypatch.context() as patch:
        patch.setattr(resuming.shutil, "copyfile", full)
        with pytest.raises(files.WriteError, match=r"model\.before-data-change\.keras: cannot be written"):
            train_run.train(settings, run, resume=True, accept_changed_data=True)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.parent.name != "tensorboard"}
    named = {run / "config.yaml", run / "history.csv"}  # where the data lie; the row that the kill took
    assert {path for path in kept | after if kept.get(path) != after.get(path)} <= named
    found = train_run.train(settings, run, resume=True, accept_changed_data=True)
    assert found["epoch"] in (2, 3)  # 0.01 mm of the first epoch counts no more
    assert found["error"] > 1
    assert (run / "model.before-data-change.keras").read_bytes() == best
    assert checkpoints.read_info(run / "model.keras").spacing_mm == (1.8, 1.8)
    assert json.loads((run / "data.json").read_text())["spacing_mm"] == [1.8, 1.8]
    assert train_run.train(config.Config(), run, resume=True) == found  # finished, with the data as they are now
    with pytest.raises(DatasetError, match=r"spacing_mm was \[1\.8, 1\.8\], is \[0\.9, 0\.9\]"):
        train_run.train(config.from_dict({"data": {"root": str(hands_2d)}}), run, resume=True)


def test_a_model_says_in_a_warning_that_a_set_has_other_units(run_2d, moved, tmp_path):
    describe(moved, spacing_mm=[0.1, 0.3])
    message = r"other units than the training data of the model: spacing_mm \[0\.1, 0\.3\] \(the model: \[0\.9, 0\.9\]\)"
    with pytest.warns(DataWarning, match=message):
        evaluate_run.evaluate(run_2d, "val", root=moved, out=tmp_path / "out")
    info = checkpoints.read_info(run_2d / "model.keras")
    with pytest.warns(DataWarning, match=message):
        training_images(info, moved)


def test_exchanged_names_are_refused_wherever_data_meet_a_model(run_2d, moved, tmp_path):
    names = yaml.safe_load((moved / "dataset.yaml").read_text())["landmarks"]
    describe(moved, landmarks=swap(names, 0, 4))
    info = checkpoints.read_info(run_2d / "model.keras")
    for use in (
        lambda: evaluate_run.evaluate(run_2d, "val", root=moved, out=tmp_path / "out"),
        lambda: training_images(info, moved),
        lambda: parity.check(run_2d, [], root=moved),
    ):
        with pytest.raises(DatasetError, match=f"landmark 0 is {names[4]}, but the model's is {names[0]}"):
            use()


def test_a_fingerprint_is_small_and_names_no_folder(hands_2d):
    dataset = open_dataset(hands_2d)
    found = fingerprint.fingerprint(dataset, dataset.split("train"), dataset.split("val"))
    assert str(hands_2d) not in json.dumps(found)
    assert json.loads(json.dumps(found)) == found
    assert fingerprint.changes(found, found) == []
    assert len(json.dumps(fingerprint.short(found))) < 250


def test_the_pixels_beside_a_header_and_the_slices_of_a_folder_count(tmp_path, rng):
    array = rng.normal(size=(5, 7, 9)).astype("float32")
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "volume.mhd"))
    before = fingerprint._file_digest(tmp_path / "volume.mhd")
    assert fingerprint._file_digest(tmp_path / "volume.mhd") == before
    content = bytearray((tmp_path / "volume.raw").read_bytes())
    content[100] ^= 1
    (tmp_path / "volume.raw").write_bytes(content)
    assert fingerprint._file_digest(tmp_path / "volume.mhd") != before
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_bytes(b"one")
    before = fingerprint._file_digest(tmp_path / "series")
    (tmp_path / "series" / "2.dcm").write_bytes(b"two")
    assert fingerprint._file_digest(tmp_path / "series") != before


def test_the_command_takes_the_consent(moved, run, capsys):
    describe(moved, spacing_mm=[0.1, 0.1])
    command = ["train", "--resume", "--run-dir", str(run), "--data.root", str(moved)]
    assert cli.main(command) == 1
    error = capsys.readouterr().err
    assert "spacing_mm was [0.9, 0.9], is [0.1, 0.1]" in error
    assert "start a new run, or pass --accept-changed-data: " in error
    model = (run / "model.keras").read_bytes()
    assert cli.main([*command, "--accept-changed-data"]) == 0
    assert "This run is already complete" in capsys.readouterr().out
    assert (run / "model.keras").read_bytes() == model
    np.testing.assert_array_equal(json.loads((run / "data.json").read_text())["spacing_mm"], [0.9, 0.9])
