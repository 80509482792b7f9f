"""Drawn sets in the formats of tools: ``scn-tf init`` reads them without an option."""

import numpy as np
import pytest

from scn_tf.data.dataset import open_dataset
from tests import drawn_sets
from tests.test_init import init


@pytest.mark.parametrize(
    ("draw", "said"),
    [(drawn_sets.wings, ["format tps", "y from the bottom (as the format states; the images agree"]), (drawn_sets.fish, ["fractions"])],
)
def test_a_drawn_set_is_understood_without_options(draw, said, tmp_path, capfd):
    truth = draw(tmp_path / "raw", count=9, seed=2)
    out, err = init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    dataset = open_dataset(tmp_path / "set")
    assert [text for text in said if text not in out] == []
    assert err == ""
    assert set(dataset.landmarks) == set(truth)
    for image_id, points in truth.items():
        np.testing.assert_allclose(dataset.landmarks[image_id], points, atol=1e-4)
