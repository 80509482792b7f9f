"""What benchmarks print of errors, and that the one of the server finds a model that it can serve."""

import re

import numpy as np

from benchmarks import agreement, automatic_settings, drawn_sets, estimates_cost, intervals, server_load
from scn_tf.data.dataset import open_dataset
from scn_tf.serving import servable


def test_intervals_are_around_the_figures_of_an_evaluation():
    errors = np.full((2, 9), 0.5)
    errors[0] = [5.0, *[np.nan] * 8]  # one point weighs as much as any other, not as an image
    (mean, within) = intervals.intervals(errors, "mm", 2.0)
    np.testing.assert_allclose((mean[1], within[1]), (0.95, 90.0))
    np.testing.assert_allclose((mean[2:], within[2:]), ((0.5, 5.0), (0.0, 100.0)))


def test_agreement_is_measured_in_mm_whatever_the_coordinates(run_2d, run_3d, hands_2d, hands_3d):
    for run, root in ((run_2d, hands_2d), (run_3d, hands_3d)):
        found, true, errors = agreement.points_in_mm(run, open_dataset(root), "val")
        np.testing.assert_allclose(np.linalg.norm(found - true, axis=-1), errors, rtol=1e-3)


def test_the_model_of_the_load_test_is_one_that_can_be_served(tmp_path):
    server_load.export(tmp_path, 32, 2)
    model = servable.load(tmp_path / "served")
    (encoded,) = {path.read_bytes() for path in tmp_path.glob("0.png")}
    found = servable.run(model.signatures["serving_default"], {"image_bytes": np.array([encoded], dtype=object)})
    assert found["landmarks"].shape == (1, server_load.LANDMARKS, 2)


def test_the_cost_of_estimates_is_measured_in_turns(capsys):
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    assert {name: len(times) for name, times in estimates_cost.seconds(calls, 2).items()} == {"a": 2, "b": 2}
    assert "".join(order) == "abba" * 2
    estimates_cost.main(["--size", "32", "--filters", "2", "--rounds", "2"])
    assert re.search(r"^calibrated +\d+\.\d+ times as long", capsys.readouterr().out, re.MULTILINE)


def test_drawn_sets_are_whole_and_settings_for_them_are_decided(tmp_path):
    drawn_sets.ensure(tmp_path, few=True)
    for name, landmarks, dims in (("wings", 15, 2), ("tubes", 9, 3)):
        dataset = open_dataset(tmp_path / name)
        image_id = dataset.split("val")[0]
        points = dataset.truth_in_array(image_id, image := dataset.read(image_id))
        assert points.shape == (landmarks, dims)
        assert ((points >= 0) & (points <= image.size - 1)).all()


def test_finished_runs_of_both_sides_are_compared_and_not_trained_again(run_2d, tmp_path, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(automatic_settings, "train", lambda jobs, side_by_side: started.extend(jobs))
    monkeypatch.setattr(automatic_settings.drawn_sets, "ensure", lambda folder: None)
    for side, error in (("automatic", 1.0), ("tuned", 2.0)):
        run = tmp_path / "wings" / f"{side}_seed0"
        (run / "evaluation" / "val").mkdir(parents=True)
        for name in ("config.yaml", "history.csv"):
            (run / name).write_bytes((run_2d / name).read_bytes())
        (run / "evaluation" / "val" / "summary.json").write_text(f'{{"unit": "px", "pe_mean_px": {error}}}')
    places = ["--runs", str(tmp_path), "--out", str(tmp_path / "out")]
    automatic_settings.main(["--minutes", "3", "--sets", "wings", "--seeds", "0", "1", *places])
    assert [run.name for _, run in started] == ["automatic_seed1", "tuned_seed1"]
    assert "--config" not in started[0][0]
    assert started[1][0][-2:] == ["--config", "hand_xray_quick"]
    assert "| 1.000; 1.000 px | 2.000; 2.000 px | 0.500 |" in capsys.readouterr().out
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 3
