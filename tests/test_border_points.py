"""Landmarks on the border of an image that fills the input: no size of the input would show more of them."""

import csv

import numpy as np
import pytest

from scn_tf.data import pipeline, synthetic
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DataWarning
from tests.conftest import small_config


@pytest.fixture
def hands(tmp_path):
    synthetic.generate(tmp_path / "set", train=3, val=1, seed=4)
    return tmp_path / "set"


def put(root, axis, value):
    """Set one coordinate of the first image's first landmark; all others are moved well into their images."""
    rows = list(csv.reader((root / "landmarks.csv").read_text().replace("absent", "50").splitlines()))
    rows = [[row[0], *(repr(min(max(float(one), 10.0), 180.0)) for one in row[1:])] for row in rows]
    rows[0][1 + axis] = repr(value)
    (root / "landmarks.csv").write_text("\n".join(map(",".join, rows)) + "\n")


@pytest.mark.parametrize(("axis", "beyond"), [(0, -0.5003), (0, 191.5003), (1, -0.5003), (1, 255.5003), (1, np.nextafter(255.5, 256))])
def test_a_point_barely_beyond_an_image_that_fills_the_input_is_counted_as_outside_the_image(axis, beyond, hands):
    put(hands, axis, float(beyond))
    config = small_config(hands).resolved(2)
    assert config.model.spacing_mm is None
    with pytest.warns(DataWarning, match=r"1 landmark of 1 image outside their image.* line 1 \(hand_000\): thumb_mcp"):
        pipeline.examples(open_dataset(hands), ["hand_000", "hand_002"], config)


def test_a_point_barely_beyond_an_image_that_the_input_pads_is_not_blamed_on_the_input(hands):
    put(hands, 1, 255.5004)
    config = small_config(hands, model__image_size=[96, 64], model__spacing_mm=3.0).resolved(2)
    with pytest.warns(DataWarning, match=r"1 landmark of 1 image outside their image.* line 1 \(hand_000\): thumb_mcp"):
        pipeline.examples(open_dataset(hands), ["hand_000", "hand_002"], config)
