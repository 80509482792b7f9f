import numpy as np

from scn_tf.data import synthetic
from scn_tf.data.dataset import open_dataset


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
    monkeypatch.setattr(synthetic, "generate", lambda root: (calls.append(root), root.mkdir(), (root / "dataset.yaml").write_text("x")))
    assert synthetic.ensure(tmp_path / "set") == synthetic.ensure(tmp_path / "set")
    assert len(calls) == 1
