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
