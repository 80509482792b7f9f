"""Points in another frame than their images are noticed before anything is trained on them; right ones are not."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks import frame_evidence
from scn_tf import config, train_run
from scn_tf.data import evidence, pipeline, synthetic
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.runs.folder import RunFolder
from tests.conftest import small_config


@pytest.fixture(scope="module", params=[2, 3])
def hands(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(f"evidence_{request.param}d") / "set"
    synthetic.generate(root, dims=request.param, train=8, val=2, seed=3)
    return open_dataset(root)


@pytest.mark.parametrize("count", [8])
def test_every_wrong_frame_is_found_and_the_right_one_is_not_doubted(hands, count):
    ids, spacing = hands.split("train")[:count], hands.pixel_size(hands.read(hands.split("train")[0]))
    tried = 0
    for name, (wrong, expected) in frame_evidence.WRONG.items():
        if not frame_evidence.applies(name, hands.description, spacing):
            continue
        found, refused, seconds = frame_evidence.tried(hands, ids, wrong)
        assert seconds < 5
        tried += 1
        if expected is None:
            assert (found, refused) == (None, None)
        else:
            assert refused or found is not None, name
            assert refused or found[0] in expected, (name, found)
    assert tried >= (10 if hands.description.dims == 2 else 6)


def test_points_at_random_places_and_noise_raise_no_alarm(rng):
    for dims, size in ((2, (60, 44)), (3, (18, 26, 22))):
        for smooth in (False, True):
            surroundings = evidence.Surroundings("pixel")
            for _ in range(12):
                image = rng.normal(size=size)
                if smooth:
                    image = np.cumsum(image, axis=-1) / 4
                surroundings.add(example(image[..., None], rng.uniform(0, np.array(size[::-1]) - 1, (9, dims))))
            assert surroundings.better_frame() is None


def test_mirror_images_of_themselves_raise_no_alarm(rng):
    """Left and right look alike: nothing can be said, so nothing is."""
    half = rng.normal(size=(50, 20)).cumsum(axis=0)
    surroundings = evidence.Surroundings("pixel")
    for _ in range(8):
        image = np.concatenate([half, half[:, ::-1]], axis=1) + rng.normal(size=(50, 40)) / 9
        surroundings.add(example(image[..., None] / 5, rng.uniform(8, 30, (12, 2)).round(0) * 0 + np.linspace(9, 30, 12)[:, None]))
    assert surroundings.better_frame() is None


def example(image, points):
    dims = points.shape[-1]
    return {
        "image": image.astype("float32"),
        "landmarks": points.astype("float32"),
        "annotated": np.ones(len(points), "float32"),
        "size": np.array(image.shape[-2::-1], "float32"),
        "file_per_pixel": np.ones(dims, "float32"),
        "spacing": np.full(dims, np.nan, "float32"),
        "own_from_input": np.eye(dims + 1, dtype="float32"),
    }


def test_the_warning_names_cause_and_fix(tmp_path):
    root = tmp_path / "set"
    synthetic.generate(root, train=5, val=1, seed=7)
    lines = [line.split(",") for line in (root / "landmarks.csv").read_text().splitlines()]
    for cells in lines:
        cells[2::2] = [str(255 - float(value)) for value in cells[2::2]]
    (root / "landmarks.csv").write_text("\n".join(map(",".join, lines)))
    with pytest.warns(DataWarning, match=r"y seems to be counted from the bottom\..*Replace y by height - 1 - y.*annotations\.png"):
        train_run.prepare(small_config(root, model__image_size=[64, 48]), RunFolder(tmp_path / "run"), resume=False)


@pytest.mark.parametrize("images", [1, 3])
def test_fractions_are_found_in_a_single_image(images, hands_2d, tmp_path):
    dataset = open_dataset(hands_2d)
    fractions = {identity: points / [192, 256] for identity, points in dataset.landmarks.items()}
    dataset, surroundings = dataclasses.replace(dataset, landmarks=fractions), evidence.Surroundings("pixel")
    settings = small_config(hands_2d).resolved(2)
    pipeline.examples(dataset, dataset.split("train")[:images], settings, measured=False, observe=surroundings.add)
    with pytest.warns(DataWarning, match=r"fractions of the image \(0 to 1\), not pixels\. Multiply x by the width"):
        evidence.warn_of_frame(surroundings, dataset.table)


def test_a_small_cluster_in_the_corner_is_warned_of_whatever_its_unit(rng):
    surroundings = evidence.Surroundings("pixel")
    for _ in range(6):
        surroundings.add(example(rng.normal(size=(80, 64, 1)), rng.uniform(2, 14, (6, 2))))
    with pytest.warns(DataWarning, match="all points lie in one corner of the images"):
        evidence.warn_of_frame(surroundings, "t.csv")


def ras(root, out):
    """Copy of a 3D set whose volumes are centred on 0 and whose points are RAS."""
    dataset = open_dataset(root)
    for folder in ("images", "splits"):
        (out / folder).mkdir(parents=True)
    rows = []
    for identity, path in dataset.files.items():
        image = sitk.ReadImage(str(path))
        old, size = np.array(image.GetOrigin()), np.array(image.GetSize())
        new = -(size - 1) / 2 * np.array(image.GetSpacing())
        image.SetOrigin(new.tolist())
        sitk.WriteImage(image, str(out / "images" / path.name))
        points = (dataset.landmarks[identity] - old + new) * [-1, -1, 1]
        rows.append(",".join([identity, *(f"{value:.3f}" for value in points.ravel())]))
    (out / "landmarks.csv").write_text("\n".join(rows))
    (out / "dataset.yaml").write_text((root / "dataset.yaml").read_text())
    (out / "splits" / "train.txt").write_text("\n".join(dataset.files))
    return out


def test_ras_instead_of_lps_is_named_where_the_points_lie_inside(hands_3d, tmp_path):
    root = tmp_path / "source"
    synthetic.generate(root, dims=3, train=6, val=0, seed=4)
    dataset, surroundings = open_dataset(ras(root, tmp_path / "ras")), evidence.Surroundings("physical")
    pipeline.examples(dataset, dataset.split("train"), config.from_dict({}).resolved(3), measured=False, observe=surroundings.add)
    with pytest.warns(DataWarning, match=r"the points seem to be RAS, not LPS\..*Negate x and y in the table"):
        evidence.warn_of_frame(surroundings, dataset.table)


def test_ras_is_named_where_the_points_lie_outside(hands_3d):
    dataset = open_dataset(hands_3d)
    turned = dataclasses.replace(dataset, landmarks={i: p * [-1, -1, 1] for i, p in dataset.landmarks.items()})
    with pytest.raises(DatasetError, match=r"All would lie inside if they were RAS, not LPS\. Negate x and y in the table\."):
        pipeline.examples(turned, turned.split("train"), small_config(hands_3d, 3).resolved(3), measured=False)


@pytest.mark.parametrize("name", ["hand_xray", "cephalo", "mouse_ct"])
def test_real_sets_are_not_doubted_and_their_flips_are(name, real_data):
    dataset = open_dataset(real_data / name)
    ids = dataset.split("train")[:12]
    assert frame_evidence.tried(dataset, ids, None)[:2] == (None, None)
    found, _, _ = frame_evidence.tried(dataset, ids, frame_evidence.WRONG["y from the bottom"][0])
    assert found[0] == ("flip", (1,))
