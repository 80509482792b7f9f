"""Checks on real radiographs and volumes; they skip where those are not there."""

import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf

from scn_tf import config, evaluate_run, export, geometry, train_run
from scn_tf.config import ModelConfig
from scn_tf.data import images, pipeline
from scn_tf.data.dataset import open_dataset
from tests.conftest import SUBPIXEL


@pytest.mark.parametrize(("name", "count", "train", "val"), [("hand_xray", 37, 91, 21), ("cephalo", 19, 80, 20), ("mouse_ct", 45, 16, 4)])
def test_every_real_set_opens_and_its_images_fit(real_data, name, count, train, val):
    dataset = open_dataset(real_data / name)
    assert (len(dataset.split("train")), len(dataset.split("val"))) == (train, val)
    assert dataset.unit == "mm"
    size = (64, 64) if dataset.description.dims == 2 else (24, 36, 20)
    model = ModelConfig(image_size=size).resolved(dataset.description.dims)
    for identity in dataset.split("val")[:3]:
        values = pipeline.prepare(dataset, identity, model)
        assert values["visible"].sum() == count
        assert (values["unit_per_pixel"] > 0).all()


def test_hand_radiographs_are_normalised_to_50_mm(real_data):
    dataset = open_dataset(real_data / "hand_xray")
    identity = dataset.split("val")[0]
    values = pipeline.prepare(dataset, identity, ModelConfig(image_size=(128, 128)).resolved(2))
    offset = (values["landmarks"][1] - values["landmarks"][5]) * values["unit_per_pixel"]
    np.testing.assert_allclose(np.linalg.norm(offset), 50.0, rtol=1e-4)


def test_cephalogram_pixels_are_made_square(real_data):
    dataset = open_dataset(real_data / "cephalo")
    values = pipeline.prepare(dataset, "001", ModelConfig(image_size=(128, 128)).resolved(2))
    np.testing.assert_allclose(values["scale"][0] / values["scale"][1], 0.3023438 / 0.3, rtol=1e-5)


def test_landmarks_of_a_brain_lie_in_it_whatever_the_direction_of_its_header(real_data):
    folder = real_data / "brain_afids"
    image = images.read_image(next(folder.glob("*T1w.nii.gz")), dims=3)
    lines = [line for line in next(folder.glob("*.fcsv")).read_text().splitlines() if not line.startswith("#")]
    ras = np.array([[float(value) for value in line.split(",")[1:4]] for line in lines])
    points = geometry.apply(np.linalg.inv(image.physical_from_array), ras * [-1, -1, 1])
    assert len(points) == 32
    assert (points > 0).all()
    assert (points < image.size - 1).all()
    # AC and PC lie in the middle plane of the head, PC behind AC (LPS: larger y).
    middle = (image.size[0] - 1) / 2
    np.testing.assert_allclose(points[:2, 0], middle, atol=2)
    assert points[1, 1] > points[0, 1] + 20


def test_serving_default_repeats_evaluation_on_radiographs(real_data, tmp_path):
    settings = config.from_dict(
        {
            "data": {"root": str(real_data / "hand_xray")},
            "model": {"image_size": [96, 64], "filters": 8, "levels": 2},
            "train": {"epochs": 1, "minutes": 0.2, "batch_size": 8},
        }
    )
    train_run.train(settings, tmp_path / "run")
    _, out = evaluate_run.evaluate(tmp_path / "run", "val")
    table = [line.split(",") for line in (out / "predictions.csv").read_text().splitlines()[1:]]
    predicted = np.array([[float(value) for value in line[2:4]] for line in table]).reshape(-1, 37, 2)
    module = tf.saved_model.load(str(export.export_saved_model(tmp_path / "run", tmp_path / "out")))
    dataset = open_dataset(real_data / "hand_xray")
    for identity, expected in list(zip(dataset.split("val"), predicted, strict=True))[:8]:
        path = dataset.files[identity]
        sitk.WriteImage(sitk.ReadImage(str(path)), str(tmp_path / "image.png"))
        encoded = tf.constant([path.read_bytes(), (tmp_path / "image.png").read_bytes()])
        found = module.signatures["serving_default"](image_bytes=encoded)["landmarks"]
        np.testing.assert_allclose(found[0], expected, atol=SUBPIXEL)
        np.testing.assert_allclose(found[1], expected, atol=SUBPIXEL)
