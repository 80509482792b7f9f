"""``scn-tf predict --review``: the images most in need of a human."""

import csv
import re
import shutil

import numpy as np
import pytest

import scn_tf
from scn_tf import cli
from scn_tf.prediction import answers, review
from scn_tf.runs import checkpoints
from scn_tf.types import Estimates
from tests.calibrated import calibrated, seeing

NAMES = ("tip", "base", "root", "end")


def said(times, *, present=None, image_ok=True):
    times = np.asarray(times, float)
    there = np.ones(len(times), bool) if present is None else np.array(present)
    return Estimates("mm", times * 0.5, times * 1.5, there, image_ok, times >= 2, np.full(len(times), 0.5))


@pytest.fixture(scope="module")
def folder(hands_2d, tmp_path_factory):
    """Six images."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(6):
        shutil.copy(hands_2d / "images" / f"hand_00{number}.png", folder)
    return folder


@pytest.fixture(scope="module")
def seeing_2d(calibrated_2d, tmp_path_factory):
    return seeing(calibrated_2d, tmp_path_factory.mktemp("seeing") / "model.keras")


def reviewed(model, folder, tmp_path, *more):
    return cli.main(
        ["predict", str(model), str(folder), "--out", str(tmp_path / "p.csv"), "--review", str(tmp_path / "r"), *map(str, more)]
    )


def table(tmp_path):
    return list(csv.DictReader((tmp_path / "r" / "review.csv").read_text().splitlines()))


def contents(tmp_path):
    return sorted(path.name for path in (tmp_path / "r").iterdir())


def test_images_are_in_the_order_of_their_need():
    ordered = [
        said([1, 1, 1, 1], image_ok=False),
        said([2.5, 2.5, 2.5, 1]),
        said([1, 6, 1, 1]),
        said([1, 1, 9, 1], present=[True, True, False, True]),  # absent counts 4, whatever its length
        said([1.9, 1.9, 1.9, 1.9]),
        said([1.8, 0.1, 0.1, 0.1]),
    ]
    needs = [review.need(one) for one in ordered]
    assert needs == sorted(needs, reverse=True)
    assert len(set(needs)) == len(needs)


@pytest.mark.parametrize(
    ("estimates", "text"),
    [
        (said([1, 1.2, 1, 1]), "no doubt; largest of all: base: 95 % radius 1.8 mm, expected error 1.2 times the usual"),
        (said([3, 1, 1, 2], image_ok=False), f"{review.UNLIKE}; tip: 95 % radius 4.5 mm, expected error 3.0 times the usual; end: "
         "95 % radius 3 mm, expected error 2.0 times the usual"),
        (said([3, 5, 1, 1], present=[True, True, False, True]), "base: 95 % radius 7.5 mm, expected error 5.0 times the usual; "
         "root: taken for absent; tip: 95 % radius 4.5 mm, expected error 3.0 times the usual"),
        (said([8, 8, 8, 8], present=[False] * 4), "tip: taken for absent; base: taken for absent; root: taken for absent; "
         "1 more in doubt"),
    ],
)  # fmt: skip
def test_reasons_are_in_words_and_the_sharpest_comes_first(estimates, text):
    assert review.reasons(NAMES, estimates) == text


def test_a_misplaced_point_with_a_sure_peak_needs_a_human():
    plain = said([1, 1.5, 1, 1])
    moved = plain._replace(misplaced=np.array([False, False, True, False]))
    assert review.need(moved) > review.need(said([3, 1, 1, 1]))
    assert review.reasons(NAMES, moved) == "root: not where the other points say, 95 % radius 1.5 mm, expected error 1.0 times the usual"
    assert review.need(plain._replace(misplaced=np.zeros(4, bool))) == review.need(plain)
    larger = said([1, 1, 7, 1])
    assert review.need(larger._replace(misplaced=moved.misplaced)) == review.need(larger)


def test_the_worst_images_are_written_in_order_and_no_others(seeing_2d, folder, tmp_path, capsys):
    assert reviewed(seeing_2d, folder, tmp_path, "--review-count", 4) == 0
    said = capsys.readouterr().out
    assert f"review: 4 images, {sum('no doubt' not in row['reasons'] for row in table(tmp_path))} of them doubtful" in said
    rows = table(tmp_path)
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["picture"] for row in rows] == [f"00{rank}_{row['id']}.png" for rank, row in enumerate(rows, start=1)]
    assert contents(tmp_path) == sorted([*(row["picture"] for row in rows), "review.csv"])
    # All images in the order of their need, by the library itself.
    predictor = scn_tf.load(seeing_2d)
    needs = {path.stem: review.need(predictor.predict(path).estimates) for path in sorted(folder.iterdir())}
    assert len({need[1:] for need in needs.values()}) == 6
    assert [row["id"] for row in rows] == sorted(needs, key=needs.get, reverse=True)[:4]


def test_a_later_review_takes_the_place_of_an_earlier_one_and_leaves_other_files(calibrated_2d, folder, tmp_path):
    assert reviewed(calibrated_2d, folder, tmp_path, "--review-count", 5) == 0
    (tmp_path / "r" / "notes.txt").write_text("mine")
    assert reviewed(calibrated_2d, folder / "hand_003.png", tmp_path) == 0
    assert contents(tmp_path) == ["001_hand_003.png", "notes.txt", "review.csv"]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG broken")
    assert reviewed(calibrated_2d, broken, tmp_path) == 1
    assert contents(tmp_path) == ["notes.txt", "review.csv"]
    assert table(tmp_path) == []


def test_a_finished_table_is_reviewed_later_without_computing_it_again(calibrated_2d, folder, tmp_path, monkeypatch):
    out = ["predict", str(calibrated_2d), str(folder), "--out", str(tmp_path / "p.csv")]
    assert cli.main(out) == 0
    before = (tmp_path / "p.csv").read_bytes()
    todo, original = [], answers.stream
    monkeypatch.setattr(
        answers, "stream", lambda locate, info, sources, **more: todo.append(sources) or original(locate, info, sources, **more)
    )
    assert reviewed(calibrated_2d, folder, tmp_path, "--review-count", 2, "--resume") == 0
    assert todo == [[None] * 6]
    assert len(contents(tmp_path)) == 3
    assert (tmp_path / "p.csv").read_bytes() == before
    assert reviewed(calibrated_2d, folder, tmp_path / "whole", "--review-count", 2) == 0
    assert table(tmp_path / "whole") == table(tmp_path)


def test_an_interrupted_call_has_no_review_and_a_resumed_one_has_that_of_all_images(calibrated_2d, folder, tmp_path, monkeypatch):
    from scn_tf.prediction import streaming

    monkeypatch.setattr(streaming, "batch_size", lambda image_size: 2)
    assert reviewed(calibrated_2d, folder, tmp_path / "whole") == 0
    original = answers.stream

    def interrupted(*args, **options):
        yield next(original(*args, **options))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(answers, "stream", interrupted)
        assert reviewed(calibrated_2d, folder, tmp_path) == 130
    assert contents(tmp_path) == []
    assert reviewed(calibrated_2d, folder, tmp_path, "--resume") == 0
    assert table(tmp_path) == table(tmp_path / "whole")


def test_volumes_are_reviewed(calibrated_3d, hands_3d, tmp_path):
    assert reviewed(calibrated_3d, hands_3d / "images", tmp_path, "--review-count", 1) == 0
    assert contents(tmp_path) == [f"001_{table(tmp_path)[0]['id']}.png", "review.csv"]


def test_what_a_calibration_states_decides_the_reasons(run_2d, folder, tmp_path):
    model = calibrated(run_2d, tmp_path / "model.keras")
    info = checkpoints.read_info(model)
    # All landmarks of this model have their usual error, on all images: nothing is doubtful.
    assert reviewed(model, folder / "hand_001.png", tmp_path) == 0
    assert re.fullmatch(
        r"no doubt; largest of all: \w+: 95 % radius [\d.]+ mm, expected error 1.0 times the usual", table(tmp_path)[0]["reasons"]
    )
    strange = info.calibration.model_copy(update={"largest_strangeness": 1e-9, "lowest_presence": 1e9})
    checkpoints.restate(model, info.model_copy(update={"calibration": strange}))
    assert reviewed(model, folder / "hand_001.png", tmp_path) == 0
    absent = "; ".join(f"{name}: taken for absent" for name in info.landmarks[:3])
    assert table(tmp_path)[0]["reasons"] == f"{review.UNLIKE}; {absent}; 18 more in doubt"


def test_first_mistakes_are_told_before_any_work(calibrated_2d, bare_2d, folder, tmp_path, capsys):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "007_scan.png").write_bytes(b"mine")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "review.csv").write_bytes(b"rank,id,picture,reasons\n1,\xff,001_a.png,x\n")
    out, rows = tmp_path / "p.csv", tmp_path / "review.csv"
    calls = {
        "is not calibrated, so it cannot tell where it may be wrong": (bare_2d, out, "--review", tmp_path / "r"),
        "scn-tf calibrate RUN": (bare_2d, out, "--review", tmp_path / "r"),
        "--review-count: expected at least 1 image, received 0": (calibrated_2d, out, "--review", tmp_path / "r", "--review-count", 0),
        "--review-count: needs --review, a folder": (calibrated_2d, out, "--review-count", 3),
        "is also the folder of --overlay; choose another": (calibrated_2d, out, "--overlay", tmp_path, "--review", tmp_path),
        "is also the table of --review": (calibrated_2d, rows, "--review", tmp_path),
        "007_scan.png: already exists and was not written by scn_tf": (calibrated_2d, out, "--review", tmp_path / "theirs"),
        "review.csv: is damaged; remove it": (calibrated_2d, out, "--review", tmp_path / "damaged"),
        "is a file; name a folder": (calibrated_2d, out, "--review", folder / "hand_001.png"),
    }
    for message, (model, table, *more) in calls.items():
        assert cli.main(["predict", str(model), str(folder), "--out", str(table), *map(str, more)]) == 1
        assert message in capsys.readouterr().err
        assert not table.exists()
    assert (tmp_path / "theirs" / "007_scan.png").read_bytes() == b"mine"
