"""What benchmarks print of errors, and that the one of the server finds a model that it can serve."""

import numpy as np

from benchmarks import agreement, intervals, server_load
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
