"""Several raters of one data set: tables, mean and random truth, changed data, evaluation beside their spread, checks."""

import contextlib
import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import yaml

from benchmarks import raters as benchmark
from scn_tf import cli, compare_runs, config, evaluate_run, train_run
from scn_tf.data import batching, fingerprint, pipeline
from scn_tf.data.annotations import Annotations
from scn_tf.data.annotations.formats import scn
from scn_tf.data.dataset import open_dataset
from scn_tf.data.raters import mean
from scn_tf.doctor.checks import raters as checks
from scn_tf.doctor.examine import examine
from scn_tf.doctor.folder import read_folder
from scn_tf.doctor.inspection import Inspection
from scn_tf.errors import ConfigError, DatasetError, DataWarning
from scn_tf.scoring import raters
from scn_tf.scoring.raters import Rated
from tests.conftest import small_config

NAN = np.nan
NAMES = ("anna", "ben", "cleo")
SHIFT = {"anna": 1.0, "ben": -1.0, "cleo": 0.5}  # pixels: each rater has habits


def describe(root, **changes):
    path = root / "dataset.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


def write(path, points):
    path.unlink(missing_ok=True)
    scn.write(path, Annotations(points, {}), {})


def rate(source, root, *, seed=3):
    """A copy of a set with three raters: ben has no row of the first image, cleo no point of the first landmark."""
    shutil.copytree(source, root)
    truth, rng = open_dataset(source).landmarks, np.random.default_rng(seed)
    for name in NAMES:
        points = {image_id: own + SHIFT[name] + rng.normal(0, 0.3, own.shape) for image_id, own in truth.items()}
        if name == "ben":
            del points[next(iter(points))]
        if name == "cleo":
            for own in points.values():
                own[0] = NAN
        write(root / f"{name}.csv", points)
    (root / "landmarks.csv").unlink()  # is not read
    describe(root, raters={name: f"{name}.csv" for name in NAMES})
    return root


@pytest.fixture(scope="module")
def rated_2d(hands_2d, tmp_path_factory):
    return rate(hands_2d, tmp_path_factory.mktemp("rated") / "set")


@pytest.fixture(scope="module")
def rated_3d(hands_3d, tmp_path_factory):
    return rate(hands_3d, tmp_path_factory.mktemp("rated") / "set")


def test_the_truth_is_the_mean_of_the_raters_who_annotated_a_landmark(rated_2d):
    dataset = open_dataset(rated_2d)
    first, second, *_ = dataset.landmarks
    points = {name: dataset.by_rater[name].landmarks for name in NAMES}
    assert np.isnan(points["ben"][first]).all()
    np.testing.assert_allclose(dataset.landmarks[first][0], points["anna"][first][0])
    np.testing.assert_allclose(dataset.landmarks[first][1:], (points["anna"][first] + points["cleo"][first])[1:] / 2)
    np.testing.assert_allclose(dataset.landmarks[second][1], np.mean([points[name][second][1] for name in NAMES], axis=0))


def test_a_landmark_is_absent_if_more_raters_say_so_than_set_a_point():
    point, empty = [[1.0, 2.0]], [[NAN, NAN]]
    tables = {
        str(number): Annotations({"a": np.array(points)}, {"a": 1}, absent={"a": np.array([absent])})
        for number, (points, absent) in enumerate([(empty, True), (empty, True), (point, False)])
    }
    found = mean(tables)
    assert found.absent["a"].tolist() == [True]
    assert np.isnan(found.points["a"]).all()
    found = mean({name: tables[name] for name in "02"})  # a draw: it is there
    assert found.absent["a"].tolist() == [False]
    np.testing.assert_array_equal(found.points["a"], point)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"mean": "anna.csv"}, "mean is a value of data.rater"),
        ({"anna": "../anna.csv"}, "inside the folder"),
        ({"anna": "anna.csv", "ben": "anna.csv"}, "a table of its own"),
        ({"anna": "none.csv"}, "none.csv: no such file"),
        ({1: "anna.csv"}, "names of digits in quotation marks"),
        (["anna.csv"], "expected names with tables"),
    ],
)
def test_invalid_raters_are_refused(rated_2d, tmp_path, named, message):
    shutil.copytree(rated_2d, root := tmp_path / "set")
    describe(root, raters=named)
    with pytest.raises(DatasetError, match=message):
        open_dataset(root)


def test_a_point_far_outside_is_reported_with_the_table_of_its_rater(rated_2d, tmp_path):
    shutil.copytree(rated_2d, root := tmp_path / "set")
    lines = (root / "ben.csv").read_text().splitlines()
    image_id = lines[1].split(",")[0]
    lines[1] = ",".join([image_id, "90000", *lines[1].split(",")[2:]])
    (root / "ben.csv").write_text("\n".join(lines))
    dataset = open_dataset(root)
    with pytest.raises(DatasetError, match=r"ben\.csv, line 2: .* far outside"):
        dataset.truth_in_array(image_id, dataset.read(image_id))


def example_of(root, ids, rater):
    settings = small_config(root).resolved(2)
    return pipeline.examples(open_dataset(root), ids, settings, measured=False, rater=rater)


def test_a_name_trains_on_the_points_of_this_rater_alone(rated_2d):
    dataset = open_dataset(rated_2d)
    image_id = dataset.split("train")[1]
    for name in NAMES:
        (found,) = example_of(rated_2d, [image_id], name)
        own = dataset.by_rater[name].landmarks[image_id]
        np.testing.assert_array_equal(found["visible"], np.isfinite(own).all(axis=1))
        matrix = np.linalg.inv(found["own_from_input"].numpy())
        expected = own @ matrix[:2, :2].T + matrix[:2, 2]
        np.testing.assert_allclose(found["landmarks"][1:], expected[1:], atol=1e-3)


def test_random_draws_every_rater_again_and_again_and_mixes_none(rated_2d):
    ids = open_dataset(rated_2d).split("train")[1:4]
    data = example_of(rated_2d, ids, "random")
    of = {name: [one["landmarks"].numpy() for one in example_of(rated_2d, ids, name)] for name in NAMES}
    batches = batching.training_batches(data, count=3, batch_size=3, seed=1)
    drawn = []
    for batch in itertools.islice(batches, 30):
        assert not [name for name in batch if name.startswith(pipeline.PREFIX)]
        for points, visible in zip(batch["landmarks"].numpy(), batch["visible"].numpy(), strict=True):
            who = [name for name in NAMES for own in of[name] if np.allclose(points[1:], own[1:], atol=1e-4)]
            assert len(who) == 1
            drawn += who
            assert visible[0] == 1  # cleo has no point of it: it is another rater's
    assert min(map(drawn.count, NAMES)) > 15
    again = batching.training_batches(data, count=3, batch_size=3, seed=1, first_epoch=2)
    later = next(itertools.islice(batches, 2, None))
    np.testing.assert_array_equal(next(iter(again))["landmarks"], later["landmarks"])  # as after a resume


def test_a_drawn_rater_who_says_absent_is_heard():
    example = {
        "image": tf.zeros([4, 4, 1]),
        "rater_landmarks": tf.constant([[[1.0, 1.0], [2.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]]),
        "rater_visible": tf.constant([[1.0, 1.0], [0.0, 0.0]]),
        "rater_absent": tf.constant([[0.0, 0.0], [1.0, 0.0]]),
    }
    found = [batching.of_random_rater(example, tf.constant([0, number])) for number in range(40)]
    first = {(float(one["visible"][0]), float(one["absent"][0])) for one in found}
    assert first == {(1.0, 0.0), (0.0, 1.0)}
    assert {float(one["visible"][1]) for one in found} == {1.0}


@pytest.mark.parametrize("rater", ["mean", "ben", "random"])
def test_trainings_state_whom_they_follow_and_evaluations_compare_with_all(rated_2d, tmp_path, capsys, rater):
    with pytest.warns(DataWarning, match="no row for 1 of the 7") if rater == "ben" else contextlib.nullcontext():
        train_run.train(small_config(rated_2d, data__rater=rater), tmp_path / "run")
    said = capsys.readouterr().out
    assert "Raters   anna, ben, cleo; trained on" in said
    assert config.load(tmp_path / "run" / "config.yaml").data.rater == rater
    if rater == "mean":
        assert cli.main(["evaluate", str(tmp_path / "run")]) == 0
        assert "two raters are" in capsys.readouterr().out


def test_settings_that_do_not_fit_are_refused(rated_2d, hands_2d, tmp_path):
    for root, rater, message in ((hands_2d, "anna", "names no raters"), (hands_2d, "random", "names no raters"), (rated_2d, "Ann", "anna")):
        with pytest.raises(ConfigError, match=message):
            train_run.train(small_config(root, data__rater=rater), tmp_path / "run")
    with pytest.raises(ConfigError, match="cannot draw a random rater"):
        train_run.train(small_config(rated_2d, data__rater="random", model__name="forest"), tmp_path / "run")


def test_a_changed_table_of_any_rater_is_changed_data(rated_2d, tmp_path):
    shutil.copytree(rated_2d, root := tmp_path / "set")
    ids = ["train", "val"]

    def now():
        dataset = open_dataset(root)
        return fingerprint.fingerprint(dataset, *(dataset.split(name) for name in ids))

    before = now()
    described = yaml.safe_load((root / "dataset.yaml").read_text())["raters"]
    describe(root, raters=dict(reversed(described.items())))
    assert fingerprint.changes(before, now()) == []  # their order means nothing
    train_run.train(small_config(root, data__rater="anna", train__epochs=1), tmp_path / "run")
    table = open_dataset(root).raters["cleo"]
    image_id = open_dataset(root).split("train")[2]
    table.points[image_id][3] += 0.25
    write(root / "cleo.csv", table.points)
    (change,) = fingerprint.changes(before, now())
    assert "landmarks of 1 of 7 training images" in change
    with pytest.raises(DatasetError, match="landmarks of 1 of 7 training images"):
        train_run.train(config.Config(), tmp_path / "run", resume=True)
    changed = compare_runs._annotated(root, "val")
    assert changed == (root / "cleo.csv").stat().st_mtime


def test_a_set_without_raters_is_as_before(run_2d, hands_2d, tmp_path):
    summary, out = evaluate_run.evaluate(run_2d, "val", out=tmp_path / "out")
    assert raters.KEY not in summary
    assert "Raters" not in (out / "report.html").read_text()
    # Digests of earlier versions: landmarks alone.
    dataset = open_dataset(hands_2d)
    image_id = dataset.split("val")[0]
    points = np.round(dataset.landmarks[image_id], fingerprint.DECIMALS) + 0.0
    assert fingerprint._digests(dataset, image_id)[0] == fingerprint._digest(points.astype("<f8").tobytes())


def test_evaluations_against_raters_agree_with_their_own_points(run_2d, rated_2d, tmp_path):
    summary, out = evaluate_run.evaluate(run_2d, "val", root=rated_2d, out=tmp_path / "out")
    found, dataset = summary["raters"], open_dataset(rated_2d)
    assert json.loads((out / "summary.json").read_text())["raters"] == json.loads(json.dumps(found))
    assert found["unit"] == "mm" == summary["unit"]
    assert found["errors"]["mean"]["mean"] == pytest.approx(summary["pe_mean_mm"], rel=1e-4)
    rows = [row.split(",") for row in (out / "predictions.csv").read_text().splitlines()[1:]]
    points = {(row[0], row[1]): np.array([float(row[2]), float(row[3])]) for row in rows}
    for name, rater in dataset.by_rater.items():
        errors = [
            np.linalg.norm((points[image_id, landmark] - own) * dataset.description.spacing_mm)
            for image_id in dataset.split("val")
            for landmark, own in zip(dataset.description.names, rater.landmarks[image_id], strict=True)
            if np.isfinite(own).all()
        ]
        assert found["errors"][name]["points"] == len(errors)
        assert found["errors"][name]["mean"] == pytest.approx(np.mean(errors), rel=1e-3)
    count = 3 * len(dataset.description.names)
    assert (found["points"], found["by_fewer"]) == (count, 3)  # cleo's first landmark
    shift = found["bland_altman"]["x"]["raters"]["anna"]["mean_error"]
    assert shift == pytest.approx((1.0 - (-1.0 + 0.5) / 2) * dataset.description.spacing_mm[0], abs=0.4)
    page = (out / "report.html").read_text()
    assert "Bland-Altman picture" in page
    assert "anna" in page


def test_volumes_have_a_picture_of_three_axes(run_3d, rated_3d, tmp_path):
    summary, _ = evaluate_run.evaluate(run_3d, "val", root=rated_3d, out=tmp_path / "out")
    assert [*summary["raters"]["bland_altman"]] == ["x", "y", "z"]
    apart = np.sqrt(3) * np.array([2.0, 0.5, 1.5]).mean()  # anna, ben and cleo; jitter adds a little
    assert summary["raters"]["spread"]["between_raters"] == pytest.approx(apart, rel=0.3)


def points_of(each, found=None):
    each = np.array(each, float)
    middle = np.nanmean(each, axis=0)
    return Rated(tuple("abc"[: len(each)]), middle if found is None else np.array(found, float), middle, each)


def test_the_spread_of_three_raters_on_a_line():
    # One image, one landmark: raters at 0, 2 and 4; the model at 5.
    each = [[[[0.0, 0.0]]], [[[2.0, 0.0]]], [[[4.0, 0.0]]]]
    found = raters.spread(points_of(each, [[[5.0, 0.0]]]), ["tip"])["spread"]
    assert found["between_raters"] == pytest.approx((2 + 4 + 2) / 3)
    assert found["rater_from_others"] == pytest.approx((3 + 0 + 3) / 3)
    assert found["model_from_others"] == pytest.approx((2 + 3 + 4) / 3)  # the others' means are 3, 2 and 1
    assert found["raters_within_percent"] == pytest.approx(100 / 3)
    assert found["within_percent"] == pytest.approx(100 / 3)


def test_a_rater_as_model_fares_like_a_rater():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (400, 2, 3))
    each = truth + rng.normal(0, [[1.0], [3.0]], (4, 400, 2, 3))
    found = raters.spread(points_of(each[:3], each[3]), ["near", "far"])
    for own in (found["spread"], *found["by_landmark"].values()):
        assert own["model_from_others"] == pytest.approx(own["rater_from_others"], rel=0.1)
        assert own["within_percent"] == pytest.approx(own["raters_within_percent"], abs=4)
    assert found["by_landmark"]["far"]["between_raters"] == pytest.approx(3 * found["by_landmark"]["near"]["between_raters"], rel=0.1)


def test_points_of_one_rater_alone_have_no_spread():
    each = np.full((2, 3, 1, 2), NAN)
    each[0] = 1.0
    found = raters.spread(points_of(each, np.zeros((3, 1, 2))), ["tip"])["spread"]
    assert found == {"points": 0, **dict.fromkeys(benchmark.FIGURES)}


@pytest.fixture
def many(tmp_path):
    """A set of 30 drawn tables without readable images, for the checks of tables."""
    rng = np.random.default_rng(2)
    root = tmp_path / "many"
    (root / "images").mkdir(parents=True)
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "many", "dims": 2, "landmarks": 8}))
    truth, habits = rng.uniform(20, 200, (30, 8, 2)), rng.normal(0, 2, (3, 8, 2))
    tables = {
        name: {f"i{number:02d}": truth[number] + habit + rng.normal(0, 0.8, (8, 2)) for number in range(30)}
        for name, habit in zip(NAMES, habits, strict=True)
    }
    describe(root, raters={name: f"{name}.csv" for name in NAMES})

    def found(row):
        for name, points in tables.items():
            write(root / f"{name}.csv", points)
        return [(one.image, one.message) for one in row.find(Inspection(read_folder(root), {}))]

    return tables, found


ROWS = (checks.MISSING, checks.SAME_TABLE, checks.EXCHANGED, checks.OUTLIER)


def test_good_tables_raise_nothing(many):
    _, found = many
    assert [found(row) for row in ROWS] == [[]] * 4


def test_checks_name_missing_rows_exchanged_raters_outliers_and_copies(many):
    tables, found = many
    del tables["ben"]["i04"]
    assert found(checks.MISSING) == [("i04", "ben: has no row for i04, which another rater annotated.")]
    tables["anna"]["i07"], tables["ben"]["i07"] = tables["ben"]["i07"], tables["anna"]["i07"]
    assert found(checks.EXCHANGED) == [("i07", "i07: the points of anna and ben seem to be exchanged.")]
    tables["cleo"]["i11"][5] += 60
    ((image, message),) = found(checks.OUTLIER)
    assert image == "i11"
    assert "landmark 5 of cleo lies apart from the other raters" in message
    tables["ben"] = {image_id: points.copy() for image_id, points in tables["cleo"].items()}
    assert [message for _, message in found(checks.SAME_TABLE)] == ["ben and cleo: nearly all points are equal."]


def test_a_check_reads_all_tables_row_by_row(rated_2d, tmp_path):
    shutil.copytree(rated_2d, root := tmp_path / "set")
    findings, _ = examine(root)
    assert {one.kind for one in findings if one.severity == "error"} == set()
    assert [one.image for one in findings if one.kind == "rater_missing"] == [next(iter(open_dataset(root).landmarks))]
    text = (root / "cleo.csv").read_text()
    (root / "cleo.csv").write_text(text + "broken,1,2\n")
    findings, _ = examine(root)
    assert any("cleo.csv, line 11" in one.message for one in findings if one.kind == "table")


def test_a_table_is_made_of_the_means(rated_2d, tmp_path, capsys):
    assert cli.main(["convert", str(rated_2d), str(tmp_path / "all.csv"), "--to", "csv-wide"]) == 0
    values = open_dataset(rated_2d).landmarks
    row = next(line for line in (tmp_path / "all.csv").read_text().splitlines() if next(iter(values)) in line)
    assert f"{next(iter(values.values()))[1][0]:.2f}"[:-1] in row
    capsys.readouterr()
    assert cli.main(["init", str(rated_2d), "--out", str(tmp_path / "new")]) != 0
    assert "tables of 3 raters" in capsys.readouterr().err


def test_the_benchmark_builds_a_set_of_tables_with_some_landmarks(run_2d, hands_2d, tmp_path, capsys):
    shutil.copytree(hands_2d, root := tmp_path / "set")
    truth = open_dataset(hands_2d).landmarks
    write(root / "second.csv", {image_id: points + 1 for image_id, points in truth.items()})
    (root / "some.csv").write_text(
        "".join(f"{image_id},{','.join(map(str, points[[4, 2]].ravel()))}\n" for image_id, points in truth.items())
    )
    arguments = [str(run_2d), str(root), "--raters", "one=second.csv", "two=some.csv", "--columns", "some.csv=4,2"]
    found = benchmark.main(arguments)
    assert found["spread"]["between_raters"] == pytest.approx(np.sqrt(2) * 0.9, rel=1e-3)
    assert found["spread"]["points"] == 2 * 3
    assert "against" in capsys.readouterr().out
