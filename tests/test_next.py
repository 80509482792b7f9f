"""``scn-tf next``: which images to annotate next."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from scn_tf import cli, next_images
from scn_tf.prediction import selection
from scn_tf.types import Estimates
from tests.calibrated import seeing


@pytest.fixture(scope="module")
def seeing_2d(calibrated_2d, tmp_path_factory):
    return seeing(calibrated_2d, tmp_path_factory.mktemp("seeing") / "model.keras")


@pytest.fixture
def few_annotated(hands_2d, tmp_path):
    """A data set with points for hand_000 to hand_002 alone, and a row without any for hand_003."""
    root = shutil.copytree(hands_2d, tmp_path / "set")
    lines = (root / "landmarks.csv").read_text().splitlines()
    kept = [line for line in lines if line.split(",")[0] in ("id", "image", "hand_000", "hand_001", "hand_002")]
    row = next(line for line in lines if line.startswith("hand_003"))
    (root / "landmarks.csv").write_text("\n".join([*kept, row.split(",")[0] + "," * row.count(",")]) + "\n")
    return root


def called(*words):
    return cli.main(["next", *map(str, words)])


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def groups(rng, *, count=6, dims=2):
    """Three kinds of shape, ``count`` images of each; pictures without differences. Position, size and rotation are random."""
    kinds = rng.normal(size=(3, 9, dims))
    points = []
    for number in range(3 * count):
        angle, scale, shift = rng.uniform(0, 6), rng.uniform(1, 5), rng.normal(size=dims) * 50
        turn = np.eye(dims)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        points.append(scale * (kinds[number % 3] + rng.normal(size=(9, dims)) * 0.01) @ turn.T + shift)
    return np.array(points), np.ones((3 * count, 4))


@pytest.mark.parametrize("dims", [2, 3])
def test_one_image_of_each_kind_is_chosen_before_a_second_of_any(dims, rng):
    found = selection.features(*groups(rng, dims=dims))
    for name in selection.ASPECTS:
        assert np.isfinite(getattr(found, name)).all()
    chosen = selection.choose(np.ones(18), found, np.zeros(18, bool), 18)
    assert {one.number % 3 for one in chosen[:3]} == {0, 1, 2}
    assert [one.aspect for one in chosen[:3]] == [None, "shape", "shape"]
    assert min(one.novelty for one in chosen[:3]) > 10 * max(one.novelty for one in chosen[3:])
    assert sorted(one.number for one in chosen) == list(range(18))


def test_kinds_that_are_annotated_are_not_chosen_first_and_annotated_images_never(rng):
    found = selection.features(*groups(rng))
    annotated = np.isin(np.arange(18), [0, 1])
    chosen = selection.choose(np.ones(18), found, annotated, 18)
    assert chosen[0].number % 3 == 2
    assert not {0, 1} & {one.number for one in chosen}
    assert len(chosen) == 16


def test_of_images_that_are_as_new_the_one_with_the_larger_error_is_chosen(rng):
    found = selection.features(*groups(rng))
    values = np.ones(18)
    values[[13, 17]] = 3.0, 2.0
    chosen = selection.choose(values, found, np.zeros(18, bool), 2)
    assert [one.number for one in chosen] == [13, 17]
    values[16] = 3.0  # of the kind of 13
    assert [one.number for one in selection.choose(values, found, np.zeros(18, bool), 2)] == [13, 17]


def test_a_copy_of_a_chosen_image_has_no_novelty_and_comes_last(rng):
    points, _ = groups(rng)
    pictures = rng.normal(size=(18, 4))
    points[5], pictures[5] = points[4], pictures[4]
    chosen = selection.choose(np.ones(18), selection.features(points, pictures), np.zeros(18, bool), 18)
    assert chosen[-1].number == 5
    assert chosen[-1].novelty == pytest.approx(0.0, abs=1e-6)
    assert chosen[-2].novelty > 1e-3


def test_looks_count_as_much_as_shapes(rng):
    points, _ = groups(rng)
    pictures = np.zeros((18, 4))
    pictures[7] = 5.0
    chosen = selection.choose(np.ones(18), selection.features(points[[0] * 18], pictures), np.zeros(18, bool), 2)
    assert [(one.number, one.aspect) for one in chosen] == [(0, None), (7, "look")]


@pytest.mark.parametrize("shape", [(64, 48, 1), (5, 41, 3), (20, 9, 31, 1)])
def test_a_small_picture_does_not_depend_on_size_brightness_and_contrast(shape, rng):
    array = rng.random(shape).astype("float32")
    small = selection.small_picture(array)
    assert len(small) == selection.SIDE[len(shape) - 1] ** (len(shape) - 1)
    np.testing.assert_allclose((small.mean(), small.std()), (0, 1), atol=1e-5)
    np.testing.assert_allclose(selection.small_picture(array * 300 + 70), small, atol=1e-3)
    if shape[0] == 64:  # whole pixels in each cell
        larger = array.repeat(4, axis=0).repeat(3, axis=1)
        np.testing.assert_allclose(selection.small_picture(larger), small, atol=1e-4)


def test_the_value_is_the_mean_error_and_that_of_strange_images_has_a_floor():
    said = Estimates("mm", np.array([1.0, 3.0]), np.ones(2), None, True, None, np.array([1.0, 1.0]))
    assert selection.value(said) == 2.0
    assert selection.value(said._replace(expected_error=np.array([1.0, 90.0]))) == (1 + selection.LARGEST) / 2
    assert selection.value(said._replace(expected_error=np.ones(2))) == 1.0
    assert selection.value(said._replace(expected_error=np.ones(2), image_ok=False)) == selection.UNLIKE
    assert selection.value(said._replace(unit="px", expected_error=np.array([2.0, 6.0]), usual_error=np.array([2.0, 2.0]))) == 2.0


def test_images_of_a_data_set_without_points_are_listed_with_reasons_and_the_next_command(seeing_2d, few_annotated, tmp_path, capsys):
    out = tmp_path / "next.csv"
    assert called(few_annotated, "--model", seeing_2d, "--count", 5, "--out", out) == 0
    said, table = capsys.readouterr().out, rows(out)
    assert [row["rank"] for row in table] == list("12345")
    assert not {row["id"] for row in table} & {"hand_000", "hand_001", "hand_002"}
    assert "5 of 7 images without annotations, compared with 3 annotated" in said
    assert f"then add their points to {few_annotated / 'landmarks.csv'}" in said
    assert f"scn-tf train --data.root {few_annotated}" in said
    for line, row in zip(said.splitlines(), table, strict=False):
        assert line.split(maxsplit=2) == [row["rank"], row["id"], row["reason"]]
        assert row["file"] == str(few_annotated / "images" / f"{row['id']}.png")
        assert f"expected error {float(row['times_usual']):.1f} times the usual, largest at " in row["reason"]
        assert row["unit"] == "mm"
    assert called(few_annotated, "--model", seeing_2d, "--count", 5, "--out", out) == 0
    assert rows(out) == table
    assert called(few_annotated, "--model", seeing_2d, "--count", 500, "--out", out) == 0
    assert rows(out)[:5] == table  # a longer list begins with the shorter one
    assert sorted(row["id"] for row in rows(out)) == [f"hand_00{number}" for number in range(3, 10)]


def test_an_image_without_any_landmark_in_it_is_annotated(seeing_2d, few_annotated, tmp_path):
    table = few_annotated / "landmarks.csv"
    *others, last = table.read_text().splitlines()
    table.write_text("\n".join([*others, last.replace(",", ",absent")]) + "\n")
    assert called(few_annotated, "--model", seeing_2d, "--out", tmp_path / "next.csv") == 0
    assert sorted(row["id"] for row in rows(tmp_path / "next.csv")) == [f"hand_00{number}" for number in range(4, 10)]


def test_a_copy_of_an_annotated_image_is_the_last_choice(seeing_2d, few_annotated, tmp_path):
    shutil.copy(few_annotated / "images" / "hand_001.png", few_annotated / "images" / "again.png")
    out = tmp_path / "next.csv"
    assert called(few_annotated, "--model", seeing_2d, "--out", out) == 0
    assert rows(out)[-1]["id"] == "again"
    assert float(rows(out)[-1]["novelty"]) < 1e-3
    assert rows(out)[-1]["reason"].endswith("; like others")


def test_any_folder_of_images_will_do_and_broken_files_are_left_out(seeing_2d, hands_2d, tmp_path, capsys):
    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    for number in range(4):
        shutil.copy(hands_2d / "images" / f"hand_00{number}.png", folder if number else folder / "more")
    (folder / "broken.png").write_bytes(b"\x89PNG broken")
    assert called(folder, "--model", seeing_2d, "--count", 3, "--out", tmp_path / "next.csv") == 1
    printed = capsys.readouterr()
    assert printed.err.count("broken.png") == 1
    assert "3 of 4 images without annotations, the best first" in printed.out
    assert f"scn-tf init {folder} ANNOTATIONS --out SET" in printed.out
    assert rows(tmp_path / "next.csv")[0]["reason"].endswith("; chosen first")
    assert f"scn-tf predict {seeing_2d} {rows(tmp_path / 'next.csv')[0]['file']} ... --to labelme" in printed.out


def test_volumes_are_chosen_too(calibrated_3d, hands_3d, tmp_path):
    folder = shutil.copytree(hands_3d / "images", tmp_path / "volumes")
    found = next_images.choose(folder, seeing(calibrated_3d, tmp_path / "model.keras"), 2)
    assert len(found.images) == 2
    assert (found.candidates, found.annotated, found.table) == (5, 0, None)


def test_an_image_unlike_the_training_images_is_marked(calibrated_2d, hands_2d, tmp_path):
    from scn_tf.runs import checkpoints

    model = seeing(calibrated_2d, tmp_path / "model.keras")
    info = checkpoints.read_info(model)
    strange = info.calibration.model_copy(update={"largest_strangeness": 1e-9})
    checkpoints.restate(model, info.model_copy(update={"calibration": strange}))
    folder = tmp_path / "scans"
    folder.mkdir()
    shutil.copy(hands_2d / "images" / "hand_001.png", folder)
    (one,) = next_images.choose(folder, model, 1).images
    assert one.reason == f"{next_images.UNLIKE}; chosen first"
    assert one.times_usual >= selection.UNLIKE


def test_first_mistakes_are_told_with_their_fix(calibrated_2d, bare_2d, hands_2d, calibrated_3d, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    Image.new("L", (5, 5)).save(tmp_path / "mine.csv", format="png")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"\x89PNG broken")
    calls = {
        "is not calibrated, so it cannot tell where it may be wrong": (hands_2d, "--model", bare_2d),
        f"{hands_2d}: all of its 10 images are annotated. Put further ones into": (hands_2d, "--model", calibrated_2d),
        f"holds the images of a data set, which knows the annotated ones; name {hands_2d}.": (
            hands_2d / "images", "--model", calibrated_2d,
        ),
        "nowhere: no such file or folder": (tmp_path / "nowhere", "--model", calibrated_2d),
        "empty: no images there": (tmp_path / "empty", "--model", calibrated_2d),
        "broken: none of the images could be read": (tmp_path / "broken", "--model", calibrated_2d),
        "--count: expected at least 1 image, received 0": (hands_2d, "--model", calibrated_2d, "--count", 0),
        "--out: expected a file name with .csv": (hands_2d, "--model", calibrated_2d, "--out", tmp_path / "next.txt"),
        "mine.csv: already exists and was not written by scn_tf": (hands_2d, "--model", calibrated_2d, "--out", tmp_path / "mine.csv"),
        "but the model finds": (hands_2d, "--model", calibrated_3d),
    }  # fmt: skip
    for message, words in calls.items():
        assert called(*words) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        called(hands_2d)
    assert "Example: scn-tf next FOLDER --model runs/first --count 20" in capsys.readouterr().err


def test_the_study_trains_each_network_once_and_its_choices_come_from_next(hands_2d, tmp_path, monkeypatch, capsys):
    from benchmarks import next_images as study
    from scn_tf.data.dataset import open_dataset

    done = []

    def call(words, log):
        log.parent.mkdir(parents=True, exist_ok=True)
        done.append(words[0])
        assert cli.main(words) == 0

    monkeypatch.setattr(study, "call", call)
    tiny = ["--model.image_size", "48,32", "--model.filters", "4", "--model.levels", "2", "--model.spatial_pooling", "4"]
    tiny += ["--model.spatial_kernel", "5", "--train.epochs", "1", "--train.precision", "float32"]
    places = ["--data", str(hands_2d), "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    words = [*places, "--sizes", "2", "3", "--held", "3", "--seeds", "4", "--minutes", "1", *tiny]
    study.main(words)
    assert sorted(done) == ["calibrate"] * 3 + ["evaluate"] * 3 + ["next"] + ["train"] * 3
    seed = tmp_path / "runs" / "seed4"
    sets = {place.name: open_dataset(place / "set") for place in seed.iterdir()}
    assert set(sets) == {"start_2", "next_3", "random_3"}
    everything = set(open_dataset(hands_2d).split("train"))
    for name, dataset in sets.items():
        assert set(dataset.files) == everything  # the images of val are not there
        assert set(dataset.landmarks) == {*dataset.split("train"), *dataset.split("held")}
        assert len(dataset.split("train")) == int(name[-1])
    (first,) = rows(seed / "start_2" / "next_1.csv")
    assert sets["next_3"].split("train") == [*sets["start_2"].split("train"), first["id"]]
    assert set(sets["start_2"].split("train")) < set(sets["random_3"].split("train"))
    found = rows(tmp_path / "out" / "results.csv")
    assert [(row["arm"], row["images"]) for row in found] == [("next", "2"), ("next", "3"), ("random", "2"), ("random", "3")]
    assert found[0]["pe_mean"] == found[2]["pe_mean"]
    assert "| 2 | " in (tmp_path / "out" / "results.md").read_text()
    study.main(words)
    assert len(done) == 10  # nothing is done twice
    assert rows(tmp_path / "out" / "results.csv") == found
