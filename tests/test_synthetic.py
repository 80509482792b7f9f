import numpy as np
import pytest

from scn_tf.data import synthetic
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DatasetError


def test_the_same_seed_gives_the_same_files_and_another_one_others(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        synthetic.generate(tmp_path / name, train=2, val=1, seed=seed)
    read = {name: [(tmp_path / name / p).read_bytes() for p in ("landmarks.csv", "images/hand_001.png")] for name in "abc"}
    assert read["a"] == read["b"]
    assert read["a"][0] != read["c"][0]
    assert read["a"][1] != read["c"][1]


def test_landmarks_lie_on_bones_and_inside_the_image(hands_2d, hands_3d):
    for root in (hands_2d, hands_3d):
        dataset = open_dataset(root)
        for identity in dataset.split("train"):
            image = dataset.read(identity)
            points = dataset.truth_in_array(identity, image)
            assert (points > 0).all()
            assert (points < image.size - 1).all()
            values = [image.array[tuple(np.rint(p[::-1]).astype(int))][0] for p in points]
            assert np.median(values) > image.array.mean() + image.array.std()


@pytest.mark.parametrize("dims", [2, 3])
def test_odd_hands_lack_landmarks_and_leave_the_others_as_they_are(dims, tmp_path):
    for name, odd in (("usual", 0), ("odd", 7)):
        synthetic.generate(tmp_path / name, dims=dims, train=2, val=1, odd=odd, seed=3)
    usual, dataset = open_dataset(tmp_path / "usual"), open_dataset(tmp_path / "odd")
    for image_id, points in usual.landmarks.items():
        np.testing.assert_array_equal(points, dataset.landmarks[image_id])
        np.testing.assert_array_equal(usual.read(image_id).array, dataset.read(image_id).array)
    assert dataset.split("train") == ["hand_000", "hand_001", "odd_000", "odd_001"]
    assert dataset.split("odd") == [f"odd_{number:03d}" for number in range(2, 7)]
    counts = {image_id: int(dataset.absent[image_id].sum()) for image_id in dataset.landmarks}
    for number in range(7):
        image_id = f"odd_{number:03d}"
        image, points, absent = dataset.read(image_id), dataset.landmarks[image_id], dataset.absent[image_id]
        np.testing.assert_array_equal(np.isnan(points).all(axis=1), absent)
        covered = synthetic.ODDITIES[number % 3] == "covered"
        assert (counts[image_id] == 0) == covered
        pixels = np.rint(dataset.truth_in_array(image_id, image)[~absent]).astype(int)
        values = np.array([image.array[tuple(pixel[::-1])][0] for pixel in pixels])
        assert covered == ((image.array == 255).sum() > 10)
        assert np.median(values) > image.array.mean() + image.array.std()


def test_points_outside_the_drawn_image_are_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "SIZE_2D", (100, 256))
    synthetic.generate(tmp_path / "set", train=3, val=1)
    dataset = open_dataset(tmp_path / "set")
    assert sum(flags.sum() for flags in dataset.absent.values()) > 4
    for image_id in dataset.landmarks:
        points = dataset.landmarks[image_id][~dataset.absent[image_id]]
        assert ((points >= -0.5) & (points <= [99.5, 255.5])).all()


def test_ensure_generates_once(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        synthetic, "generate", lambda root, odd: (calls.append(root), root.mkdir(), (root / "dataset.yaml").write_text("x"))
    )
    assert synthetic.ensure(tmp_path / "set") == synthetic.ensure(tmp_path / "set")
    assert len(calls) == 1


def test_ensure_takes_what_another_process_generated_meanwhile_and_refuses_half_a_set(tmp_path, monkeypatch):
    folder = tmp_path / f"set_v{synthetic.VERSION}"

    def generate(root, odd):
        root.mkdir()
        (root / "dataset.yaml").write_text("mine")
        (folder / "images").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(synthetic, "generate", generate)
    with pytest.raises(DatasetError, match=r"set_v.*remove it"):
        synthetic.ensure(tmp_path / "set")
    monkeypatch.setattr(synthetic, "generate", lambda root, odd: (generate(root, odd), (folder / "dataset.yaml").write_text("the other's")))
    assert (synthetic.ensure(tmp_path / "set") / "dataset.yaml").read_text() == "the other's"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
