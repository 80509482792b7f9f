"""A landmark that no training image shows: named at the start, in no figure that chooses or reports, listed apart."""

import csv
import json
import shutil
import warnings

import numpy as np
import pytest

from scn_tf import combine_runs, evaluate_run, predict, train_run
from scn_tf.data import coverage
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.runs import checkpoints
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.info import ModelInfo
from tests.conftest import small_config


def without(root, out, columns, rows=7):
    """Copy of a set whose first rows, the training images, lack some landmarks."""
    shutil.copytree(root, out)
    lines = [line.split(",") for line in (out / "landmarks.csv").read_text().splitlines()]
    for cells in lines[:rows]:
        for column in columns:
            cells[1 + 2 * column : 3 + 2 * column] = ["", ""]
    (out / "landmarks.csv").write_text("\n".join(map(",".join, lines)))
    return out


@pytest.fixture(scope="module")
def two_unseen(hands_2d, tmp_path_factory):
    return without(hands_2d, tmp_path_factory.mktemp("unseen") / "set", [0, 5])


@pytest.fixture(scope="module")
def run(two_unseen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unseen") / "run"
    with pytest.warns(DataWarning, match="no training image shows thumb_mcp, index_dip"):
        train_run.train(small_config(two_unseen, train__epochs=1), folder)
    return folder


def test_what_no_training_image_shows_counts_in_no_figure_and_is_listed_apart(run, two_unseen, tmp_path):
    info = checkpoints.read_info(run / "model.keras")
    assert info.untrained == ("thumb_mcp", "index_dip")
    summary, out = evaluate_run.evaluate(run, "val", out=tmp_path / "out")
    assert (summary["untrained_landmarks"], summary["points"]) == (["thumb_mcp", "index_dip"], 3 * 19)
    rows = list(csv.DictReader((out / "per_landmark.csv").read_text().splitlines()))
    assert {row["landmark"] for row in rows if row["trained"] == "0"} == {"thumb_mcp", "index_dip"}
    assert all(row["points"] == "3" and float(row["pe_mean_mm"]) > 0 for row in rows)  # its own row stays whole
    trained = [float(row["pe_mean_mm"]) for row in rows if row["trained"] == "1"]
    assert summary["pe_mean_mm"] == pytest.approx(np.mean(trained), rel=1e-4)
    assert info.validation["error"] == pytest.approx(summary["pe_mean_mm"], rel=0.02)
    errors = list(csv.DictReader((out / "errors.csv").read_text().splitlines()))
    assert {row["landmark"] for row in errors if not row["error_mm"]} == {"thumb_mcp", "index_dip"}
    assert json.loads((out / "summary.json").read_text()) == summary
    assert "not trained   thumb_mcp, index_dip" in evaluate_run.table(summary)
    assert "not trained   thumb_mcp, index_dip" in (out / "report.html").read_text()
    # A set that counts its landmarks instead of naming them is in the model's order.
    root = shutil.copytree(two_unseen, tmp_path / "counted")
    described = (root / "dataset.yaml").read_text()
    start, end = described.index("landmarks:"), described.index("labels:")
    (root / "dataset.yaml").write_text(f"{described[:start]}landmarks: 21\n{described[end:]}")
    assert evaluate_run.evaluate(run, "val", root=root, out=tmp_path / "numbers")[0]["untrained_landmarks"] == ["0", "5"]


def test_the_picture_of_the_training_points_is_there_before_the_model(run):
    picture = run / "annotations.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_mtime <= (run / "model.keras").stat().st_mtime


def test_whoever_opens_such_a_model_is_warned(run):
    with pytest.warns(DataWarning, match="never saw thumb_mcp, index_dip in training"):
        predict.load(run)


def test_a_combined_model_lacks_what_all_members_lack(run, run_2d, tmp_path):
    assert combine_runs.combine([run, run], tmp_path / "both.keras").untrained == ("thumb_mcp", "index_dip")
    assert checkpoints.read_info(tmp_path / "both.keras").untrained == ("thumb_mcp", "index_dip")
    assert "validation" not in combine_runs.combine([run, run_2d], tmp_path / "one.keras")
    assert checkpoints.read_info(tmp_path / "one.keras").to_json()["untrained"] == []


def test_models_of_before_say_nothing_and_are_measured_whole(run_2d, tmp_path):
    network, info = checkpoints.load_model(run_2d / "model.keras")
    stated = {key: value for key, value in info.to_json().items() if key != "untrained"}
    checkpoints.save_model(network, tmp_path / "old.keras", ModelInfo.from_json(stated))
    summary, _ = evaluate_run.evaluate(tmp_path / "old.keras", "val", out=tmp_path / "out")
    assert (summary["untrained_landmarks"], summary["points"]) == ([], 63)


def prepared(settings, tmp_path):
    """(job, messages) of a preparation."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        job = train_run.prepare(settings, RunFolder(tmp_path / "run"), resume=False)
    return job, [str(one.message) for one in caught if issubclass(one.category, DataWarning)]


def test_a_landmark_outside_all_training_images_is_not_trained_either(hands_2d, tmp_path):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    lines = [line.split(",") for line in (root / "landmarks.csv").read_text().splitlines()]
    for cells in lines:
        cells[3:5] = ["-9.5", "100"]
    (root / "landmarks.csv").write_text("\n".join(map(",".join, lines)))
    job, messages = prepared(small_config(root), tmp_path)
    assert job.examples.untrained == ("thumb_ip",)
    assert any("no training image shows thumb_ip" in text for text in messages)


def test_a_drawing_of_some_images_counts_only_these(hands_2d, tmp_path):
    root = without(hands_2d, tmp_path / "set", [2], rows=6)
    for count, unseen in ((7, ()), (1, None)):
        job, _ = prepared(small_config(root, data__train_count=count, train__batch_size=1), tmp_path)
        unseen = () if job.ids[0] == ["hand_006"] or count == 7 else ("thumb_tip",)
        assert job.examples.untrained == unseen


def test_nothing_to_measure_but_what_was_never_seen_is_refused(hands_2d, tmp_path):
    root = without(hands_2d, tmp_path / "set", [0])
    lines = [line.split(",") for line in (root / "landmarks.csv").read_text().splitlines()]
    (root / "landmarks.csv").write_text("\n".join(",".join(c if n < 7 else [*c[:3], *[""] * 40]) for n, c in enumerate(lines)))
    with pytest.raises(DatasetError, match=r"split val has no landmark that training images show.*Only thumb_mcp are annotated there"):
        train_run.prepare(small_config(root), RunFolder(tmp_path / "run"), resume=False)


def test_a_landmark_that_no_validation_image_has_is_named(hands_2d, tmp_path):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    lines = [line.split(",") for line in (root / "landmarks.csv").read_text().splitlines()]
    for cells in lines[7:]:
        cells[-2:] = ["", ""]
    (root / "landmarks.csv").write_text("\n".join(map(",".join, lines)))
    job, messages = prepared(small_config(root), tmp_path)
    assert job.examples.untrained == ()
    assert [text for text in messages if "no validation image has ulna. Nothing measures it" in text]


def test_few_training_images_of_many_are_named():
    counts = np.array([0, 1, 2, 3, 12])
    with pytest.warns(DataWarning) as caught:
        coverage.warn_of_coverage("t.csv", list("abcde"), counts, 12, annotated=np.ones(5))
    texts = [str(one.message) for one in caught]
    assert any("no training image shows a." in text for text in texts)
    assert any("2 or fewer of the 12 training images show b (1), c (2)." in text for text in texts)


def test_forests_leave_it_out_too(two_unseen, tmp_path):
    settings = small_config(two_unseen, model__name="forest", forest__trees=1, forest__features=8, forest__samples=12)
    with pytest.warns(DataWarning, match="no training image shows thumb_mcp"):
        best = train_run.train(settings, tmp_path / "run")
    summary, _ = evaluate_run.evaluate(tmp_path / "run", "val", out=tmp_path / "out")
    assert summary["untrained_landmarks"] == ["thumb_mcp", "index_dip"]
    assert best["error"] == pytest.approx(summary["pe_mean_mm"], rel=1e-5)


def test_a_label_that_no_training_image_has_is_left_out_of_the_dice(hands_2d, tmp_path):
    import SimpleITK as sitk

    root = shutil.copytree(hands_2d, tmp_path / "set")
    for number in range(7):
        path = root / "labels" / f"hand_{number:03d}.png"
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        labels[labels == 2] = 0
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))
    settings = small_config(root, model__name="segmentation", train__loss="cross_entropy", train__epochs=1)
    with pytest.warns(DataWarning, match="no training image has index"):
        best = train_run.train(settings, tmp_path / "run")
    assert (tmp_path / "run" / "annotations.png").read_bytes().startswith(b"\x89PNG")
    summary, _ = evaluate_run.evaluate(tmp_path / "run", "val", out=tmp_path / "out")
    assert summary["untrained_labels"] == ["index"]
    others = [value for name, value in summary["dice"].items() if name != "index"]
    assert summary["dice_mean"] == pytest.approx(np.mean(others), abs=1e-6)
    assert 1 - best["error"] == pytest.approx(summary["dice_mean"], abs=1e-6)
    assert "not trained   index" in evaluate_run.table(summary)
