"""``scn-tf compare``: paired tests of runs on the same images."""

import csv
import os
import shutil

import numpy as np
import pytest

from scn_tf import cli, compare_runs, evaluate_run
from scn_tf.errors import ConfigError, DatasetError, DataWarning
from scn_tf.scoring import comparison, evaluated_data, resampling, run_errors
from scn_tf.storage import ownership
from tests.conftest import errors_table


@pytest.fixture
def folders(tmp_path, rng):
    """Evaluations of three systems on 30 images: the second errs 0.5 mm more, the third like the first."""
    hard = rng.gamma(3, 1, (30, 1)) + rng.uniform(0, 0.4, (30, 4))
    made = []
    for name, errors in (
        ("a", hard),
        ("b", hard + 0.5 + 0.1 * rng.normal(size=hard.shape)),
        ("c", hard + 0.1 * rng.normal(size=hard.shape)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        errors_table(folder / "errors.csv", np.abs(errors))
        made.append(folder)
    return made


def test_a_difference_is_found_by_its_pairs_and_a_likeness_is_none(folders, tmp_path):
    found = compare_runs.compare(folders, out=tmp_path / "out")
    by_pair = {(os.path.basename(p.first), os.path.basename(p.second)): p for p in found.pairs if p.figure == "image error"}
    assert set(by_pair) == {("a", "b"), ("a", "c"), ("b", "c")}
    worse, alike, better = by_pair["a", "b"], by_pair["a", "c"], by_pair["b", "c"]
    assert 0.45 < worse.low < worse.difference < worse.high < 0.56
    assert worse.p < 0.001 < 0.05 < alike.p
    assert alike.low < 0 < alike.high
    assert better.difference < -0.4
    assert worse.p_holm == pytest.approx(3 * worse.p)
    assert alike.p_holm == alike.p
    assert (worse.images, worse.points, worse.unit) == (30, 120, "mm")
    shares = [p for p in found.pairs if p.figure == "points within 2 mm" and p.second.endswith("b")]
    assert shares[0].difference < 0
    assert shares[0].values[1] - shares[0].values[0] == pytest.approx(shares[0].difference)


def test_the_table_and_the_page_hold_all_runs(folders, tmp_path, capsys):
    assert cli.main(["compare", *map(str, folders), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert f"{folders[1]} minus {folders[0]}" in printed
    assert printed.rstrip().endswith(str(tmp_path / "out" / "comparison.html"))
    with open(tmp_path / "out" / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert {row["figure"] for row in rows} == {"image error", "points within 2 mm", "points within 4 mm"}
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert page.count("data:image/png") == 1
    assert "<h2>Landmarks</h2>" in page
    assert all(ownership.is_ours(tmp_path / "out" / name) for name in compare_runs.FILES)
    assert cli.main(["compare", *map(str, folders), "--out", str(tmp_path / "out")]) == 0  # replaces its own files
    (tmp_path / "out" / "comparison.csv").write_text("mine\n")
    assert cli.main(["compare", *map(str, folders), "--out", str(tmp_path / "out")]) == 1
    assert "was not written by scn_tf" in capsys.readouterr().err


def test_order_of_images_and_landmarks_does_not_matter(folders, tmp_path):
    lines = (folders[1] / "errors.csv").read_text().splitlines()
    before = compare_runs.compare(folders[:2], out=tmp_path / "out").pairs
    (folders[1] / "errors.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))
    after = compare_runs.compare(folders[:2], out=tmp_path / "out").pairs
    assert [p.difference for p in after] == pytest.approx([p.difference for p in before])


def test_points_that_one_run_lacks_count_for_neither(folders, tmp_path):
    text = (folders[0] / "errors.csv").read_text().splitlines()
    cut = [",".join([*line.split(",")[:2], ""]) if line.split(",")[1] == "2" else line for line in text]
    (folders[0] / "errors.csv").write_text("\n".join(cut))
    found = compare_runs.compare(folders[:2], out=tmp_path / "out").pairs[0]
    assert found.points == 90


def change(folder, old, new):
    path = folder / "errors.csv"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("image7,", "other,", r"b/errors.csv: is of other images than .*a/errors.csv: 1 images that are not there \(such as other\) and 1 "
         r"images fewer \(such as image7\)\. Evaluate all runs on the same `split` of one data set \(`data.root`\)\."),
        (",3,", ",x,", r"is of other landmarks than .* \(such as x\) .* Only models of the same landmarks can be compared\."),
        ("error_mm", "error_px", r"has errors in px, .*a/errors.csv in mm\. Evaluate all runs on one data set with `data.root`, or set"),
    ],
)  # fmt: skip
def test_evaluations_of_other_images_landmarks_or_units_are_refused_with_the_fix(folders, tmp_path, old, new, reason):
    change(folders[1], old, new)
    with pytest.raises(ConfigError, match=reason):
        compare_runs.compare(folders[:2], out=tmp_path / "out")
    assert not (tmp_path / "out" / "comparison.csv").exists()


def test_one_run_or_the_same_twice_is_refused(folders, tmp_path):
    with pytest.raises(ConfigError, match="expected 2 to 20 runs to compare, received 1"):
        compare_runs.compare(folders[:1], out=tmp_path / "out")
    with pytest.raises(ConfigError, match="is named twice"):
        compare_runs.compare([folders[0], folders[0] / "." / "../a"], out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"is the folder of an evaluation, .* leave out `data.root`"):
        compare_runs.compare(folders[:2], root=tmp_path, out=tmp_path / "out")


def test_a_run_is_evaluated_where_it_has_no_evaluation_or_an_old_one(run_2d, hands_2d, tmp_path, monkeypatch):
    runs = [tmp_path / name for name in ("first", "second")]
    for run in runs:
        run.mkdir()
        shutil.copy(run_2d / "model.keras", run)
    _, done = evaluate_run.evaluate(runs[0], "val")
    evaluated = []
    original = evaluate_run.evaluate

    def evaluate(run, split, *, out, **options):
        evaluated.append(run.name)
        if split != "val":
            return original(run, split, out=out, **options)
        out.mkdir(parents=True, exist_ok=True)
        (out / "errors.csv").write_text((done / "errors.csv").read_text())
        return {}, out

    monkeypatch.setattr(evaluate_run, "evaluate", evaluate)
    found = compare_runs.compare(runs, out=tmp_path / "out")
    assert evaluated == ["second"]
    assert [p.first for p in found.pairs] == ["first"] * 3
    assert found.pairs[0].difference == pytest.approx(0, abs=1e-4)
    assert found.pairs[0].p > 0.1
    compare_runs.compare(runs, out=tmp_path / "out")
    assert evaluated == ["second"]
    os.utime(runs[0] / "model.keras")  # trained again since
    compare_runs.compare(runs, out=tmp_path / "out")
    assert evaluated == ["second", "first"]
    before = (runs[0] / "evaluation" / "val" / "summary.json").stat().st_mtime_ns
    compare_runs.compare(runs, root=hands_2d, out=tmp_path / "out")
    assert evaluated[2:] == ["first", "second"]
    assert (runs[0] / "evaluation" / "val" / "summary.json").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "evaluations" / "first" / "errors.csv").is_file()
    with pytest.raises(DatasetError, match=r"first: has no evaluation of split nowhere yet, and cannot be evaluated\. .* no such split"):
        compare_runs.compare(runs, "nowhere", out=tmp_path / "out")


@pytest.fixture
def pair(run_2d, hands_2d, tmp_path):
    """Two runs, and a set whose points are 3 pixels off."""
    runs = [tmp_path / "first", tmp_path / "second"]
    for run in runs:
        run.mkdir()
        shutil.copy(run_2d / "model.keras", run)
    other = shutil.copytree(hands_2d, tmp_path / "other")
    rows = [line.split(",") for line in (other / "landmarks.csv").read_text().splitlines()]
    (other / "landmarks.csv").write_text("".join(",".join([name, *(str(float(x) + 3) for x in xy)]) + "\n" for name, *xy in rows))
    return runs, other


def errors(folder):
    return (folder / "errors.csv").read_text()


def test_evaluations_of_other_data_are_not_taken_for_those_of_the_run(pair, tmp_path):
    (first, second), other = pair
    evaluate_run.evaluate(first, "val")
    _, kept = evaluate_run.evaluate(second, "val", root=other)
    before = errors(kept)
    found = compare_runs.compare([first, second], out=tmp_path / "out")
    assert found.pairs[0].difference == 0
    assert errors(kept) == before != errors(tmp_path / "out" / "evaluations" / "second")
    assert not (tmp_path / "out" / "evaluations" / "first").exists()
    assert str(other) not in found.text


def test_all_runs_may_have_been_evaluated_on_one_other_set(pair, tmp_path):
    runs, other = pair
    for run in runs:
        evaluate_run.evaluate(run, "val", root=other)
    found = compare_runs.compare(runs, out=tmp_path / "out")
    assert found.text.startswith(f"Data     synthetic_hands_2d ({other})\n\n")
    assert not (tmp_path / "out" / "evaluations").exists()


def test_a_copy_of_the_data_is_the_same_data(pair, hands_2d, tmp_path):
    runs, _ = pair
    copy = shutil.copytree(hands_2d, tmp_path / "copy")
    for run, root in zip(runs, (None, copy), strict=True):
        evaluate_run.evaluate(run, "val", root=root)
    found = compare_runs.compare(runs, out=tmp_path / "out")
    assert not (tmp_path / "out" / "evaluations").exists()
    assert found.pairs[0].difference == 0


def test_annotations_newer_than_an_evaluation_elsewhere_make_it_outdated(pair, hands_2d, tmp_path):
    (first, second), _ = pair
    copy = shutil.copytree(hands_2d, tmp_path / "copy")
    for run in (first, second):
        evaluate_run.evaluate(run, "val", root=copy)
    os.utime(copy / "landmarks.csv", (4e9, 4e9))
    compare_runs.compare([first, second], out=tmp_path / "out")
    assert evaluated_data.read(first / "evaluation" / "val").root == os.path.realpath(hands_2d)


def test_own_data_that_differ_are_told_and_those_that_are_gone_refused(pair, tmp_path, monkeypatch):
    (first, second), other = pair
    folders = [evaluate_run.evaluate(first, "val", root=root, out=tmp_path / name)[1] for name, root in (("one", None), ("two", other))]
    with pytest.warns(DataWarning, match=r"two/errors\.csv: is of synthetic_hands_2d \(.*/other\), but .*one/errors\.csv of .*differ"):
        compare_runs.compare(folders, out=tmp_path / "out")
    evaluate_run.evaluate(first, "val")
    evaluate_run.evaluate(second, "val", root=other)

    def gone(root):
        raise DatasetError(f"{root}: no such folder.")

    monkeypatch.setattr(evaluate_run, "open_dataset", gone)
    with pytest.raises(DatasetError, match=r"second/.*: is of .*other\), not of the run's own data, .*no such folder\. .*`data.root`"):
        compare_runs.compare([first, second], out=tmp_path / "out")


@pytest.mark.parametrize("content", ["{", "[1]", '{"data": 1}', '{"data": {"name": 1}}', '{"unit": "mm"}', "[" * 100_000])
def test_a_summary_that_states_no_data_is_taken_for_the_runs_own(content, tmp_path):
    (tmp_path / "summary.json").write_text(content)
    assert evaluated_data.read(tmp_path) is None
    assert evaluated_data.read(tmp_path / "nowhere") is None


def test_label_maps_are_refused(label_run_2d, run_2d, tmp_path):
    with pytest.raises(Exception, match="finds label maps; only models of landmarks can be compared"):
        compare_runs.compare([label_run_2d, run_2d], out=tmp_path / "out")


def test_the_sign_flip_test_is_exact_for_few_images_and_keeps_its_level(rng):
    assert resampling.sign_flip(np.array([1.0, 2, 3])) == pytest.approx(2 / 8)
    assert resampling.sign_flip(np.array([0.3, -0.2, 0.1])) == pytest.approx(6 / 8)  # all but +-(0.3 - 0.2 - 0.1) are as far
    assert resampling.sign_flip(np.zeros(4)) == 1
    assert resampling.sign_flip(np.zeros(40)) == 1
    exact = resampling.sign_flip(many := rng.normal(0.4, 1, 13))
    tries = 1 - 2 * rng.integers(0, 2, (20000, 13))
    assert exact == pytest.approx((np.abs(tries @ many) >= abs(many.sum())).mean(), abs=0.02)
    small = [resampling.sign_flip(rng.normal(size=20), seed=n) < 0.1 for n in range(150)]
    assert 0.03 < np.mean(small) < 0.19


def test_holms_correction_multiplies_the_smallest_most():
    assert resampling.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert resampling.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert resampling.holm([0.2]) == [0.2]


def test_without_mm_shares_of_the_image_are_compared(tmp_path):
    runs = {}
    for name, factor in (("a", 1.0), ("b", 2.0)):
        path = tmp_path / name
        rows = [f"i{i},{n},{factor * (i + n + 1)},{factor * (i + n + 1) / 4}" for i in range(5) for n in range(3)]
        path.write_text("\n".join(["id,landmark,error_px,error_percent", *rows]))
        runs[name] = run_errors.read_run(path)
    found = comparison.pairs(comparison.aligned(runs))
    assert [p.figure for p in found] == ["image error", *(f"points within {n} % of the image's reference" for n in (1, 2))]
    within = np.array([[(i + n + 1) / 4 for n in range(3)] for i in range(5)])
    assert found[1].values == pytest.approx((100 * (within < 1).mean(), 100 * (2 * within < 1).mean()))
