import contextlib
import json

import numpy as np
import pytest

import scn_tf
from scn_tf import config, evaluate_run, geometry, train_run
from scn_tf.data import dataset, pipeline
from scn_tf.runs import checkpoints
from scn_tf.scoring import localization
from scn_tf.systems.forest import features, files, localize, shape, trees, voting
from scn_tf.systems.forest.training import impute
from scn_tf.types import Located
from tests.conftest import small_config

SMALL = dict(forest__trees=4, forest__features=40, forest__samples=80, forest__leaf=3)


@pytest.mark.parametrize("size", [(9, 12), (5, 7, 6)])
def test_a_feature_is_the_difference_of_two_box_means(size, rng):
    image = rng.normal(size=size)
    drawn = features.draw_features(30, len(size), 6.0, rng)
    points = rng.integers(0, np.array(size[::-1]), (8, len(size)))
    values = features.measure(features.integral(image), points, drawn)

    def mean(point, offset, radius):
        centre = np.clip(point + offset, 0, np.array(size[::-1]) - 1)[::-1]
        return image[tuple(slice(max(c - radius, 0), c + radius + 1) for c in centre)].mean()

    for p, point in enumerate(points):
        for k in range(30):
            first, second = (mean(point, drawn.offsets[k, box], drawn.radii[k, box]) for box in (0, 1))
            np.testing.assert_allclose(values[p, k], first - second, atol=1e-5)


def test_stored_trees_answer_as_scikit_learns_do(rng):
    from sklearn.ensemble import ExtraTreesRegressor

    seen, targets = rng.normal(size=(300, 5)).astype("float32"), rng.normal(size=(300, 2)).astype("float32")
    forest = trees.grow(seen, targets, trees=3, leaf=4, seed=7)
    model = ExtraTreesRegressor(3, min_samples_leaf=4, max_features=0.3, random_state=7).fit(seen, targets)
    new = rng.normal(size=(50, 5)).astype("float32")
    answers = trees.answers(forest, new)
    assert answers.shape == (3, 50, 2)
    for tree, estimator in zip(answers, model.estimators_, strict=True):
        np.testing.assert_allclose(tree, estimator.predict(new), atol=1e-5)


def test_votes_become_a_map_whose_peaks_are_where_most_votes_fell():
    positions = np.array([[3.0, 5.0]] * 4 + [[10.0, 2.0]] * 3 + [[-4.0, 1.0], [99.0, 99.0]])
    votes = voting.vote_map(positions, np.ones(9), (8, 14), 0.8)
    assert votes.shape == (8, 14)
    np.testing.assert_allclose(votes.sum(), 7.0, rtol=0.05)  # those outside do not count
    points, heights = voting.peaks(votes, 3, 3.0)
    np.testing.assert_array_equal(points[:2], [[3, 5], [10, 2]])
    np.testing.assert_allclose(heights[0] / heights[1], 4 / 3, rtol=0.05)


@pytest.mark.parametrize("dims", [2, 3])
def test_alignment_finds_a_similarity_and_never_a_mirror(dims, rng):
    points = rng.normal(size=(9, dims))
    rotation = geometry.rotations(rng.normal(size=(1, 1 if dims == 2 else 3)).astype("float32"), dims)[0].numpy()
    moved = 2.5 * points @ rotation.T + rng.normal(size=dims)
    np.testing.assert_allclose(shape.apply(shape.alignment(points, moved), points), moved, atol=1e-5)
    mirrored = points * [-1.0, *[1.0] * (dims - 1)]
    assert np.linalg.det(shape.alignment(points, mirrored)[0]) > 0


def test_candidates_at_one_place_are_no_shape_and_no_crash(rng):
    model = shape.learn(np.array([[10.0, 10.0], [12.0, 11.0]]) + rng.normal(size=(6, 2, 2)))
    candidates = [np.array([[5.0, 5.0]]), np.array([[5.0, 5.0]])]
    np.testing.assert_array_equal(shape.choose(model, candidates, [np.ones(1), np.ones(1)]), np.full((2, 2), 5.0))


def test_the_shape_model_picks_the_candidates_that_suit_each_other(rng):
    mean = rng.uniform(0, 60, (12, 2))
    shapes = mean + rng.normal(size=(30, 1, 2)) * 4 + rng.normal(size=(30, 1, 1)) * np.linspace(-2, 2, 24).reshape(12, 2)
    model = shape.learn(shapes)
    truth = shapes[3]
    candidates, heights = [truth + rng.normal(scale=0.3, size=truth.shape)], []
    candidates = [np.stack([point, point + rng.uniform(12, 20, 2)]) for point in candidates[0]]
    heights = [np.array([1.0, 0.9]) for _ in candidates]
    for fooled in (1, 7):  # the higher peak is the wrong one
        candidates[fooled], heights[fooled] = candidates[fooled][::-1], np.array([1.5, 0.9])
    chosen = shape.choose(model, candidates, heights)
    assert np.linalg.norm(chosen - truth, axis=1).max() < 2


def test_the_next_stage_looks_where_the_shape_says_and_without_one_where_most_votes_are(rng):
    mean = np.array([[8.0, 6.0], [40.0, 8.0], [12.0, 30.0], [38.0, 33.0], [24.0, 18.0]])
    model = shape.learn(mean + rng.normal(size=(20, *mean.shape)))
    maps = [voting.vote_map(point[None], np.ones(1), (40, 52), 1.5) for point in mean]
    wrong = np.array([5.0, 35.0])
    maps[1] = maps[1] + 1.2 * voting.vote_map(wrong[None], np.ones(1), (40, 52), 1.5)
    np.testing.assert_array_equal(localize._places(maps, None, distance=4.0)[1], wrong)
    np.testing.assert_array_equal(localize._places(maps, model, distance=4.0), mean)


def test_a_file_of_forests_keeps_the_shape_model(hands_2d, tmp_path, capsys):
    train_run.train(small_config(hands_2d, model__name="forest_shape", **SMALL), tmp_path / "run")
    _, model, _ = files.load(tmp_path / "run" / "model.npz")
    assert model.mean.shape == (21, 2)
    files.save(tmp_path / "again.npz", *files.load(tmp_path / "run" / "model.npz"))
    for kept, own in zip(files.load(tmp_path / "again.npz")[1], model, strict=True):
        np.testing.assert_array_equal(kept, own)


def test_an_absent_landmark_is_put_where_it_lies_on_average():
    landmarks = np.array([[[0.0, 0.0], [4.0, 2.0]], [[10.0, 10.0], [0.0, 0.0]]])
    filled = impute(landmarks, np.array([[True, True], [True, False]]))
    # Where both are, the second is (4, 2) from the first: that one image lies elsewhere changes nothing about it.
    np.testing.assert_allclose(filled[1, 1], [14.0, 12.0], atol=1e-4)
    np.testing.assert_array_equal(filled[0], landmarks[0])


def mean_position_error(settings, root):
    """What always answering the training images' mean landmarks would err by."""
    opened = dataset.open_dataset(root)
    train, val = (pipeline.examples(opened, opened.split(name), settings) for name in ("train", "val"))
    mean = np.mean([example["landmarks"] for example in train], axis=0)
    truth = localization.localize(
        lambda images: Located(np.repeat(mean[None], len(images), axis=0), np.zeros((len(images), len(mean)))), val
    )
    return np.nanmean(localization.point_errors(truth))


@pytest.mark.parametrize(("name", "dims"), [("forest", 2), ("forest_shape", 2), ("forest_shape", 3)])
def test_forests_train_evaluate_and_predict_like_a_network(name, dims, hands_2d, hands_3d, tmp_path, capsys):
    root, run = (hands_2d, hands_3d)[dims - 2], tmp_path / "run"
    best = train_run.train(small_config(root, dims, model__name=name, **SMALL), run)
    summary, out = evaluate_run.evaluate(run, "val")
    assert summary["pe_mean_mm"] == pytest.approx(best["error"], rel=1e-5)
    assert summary["pe_mean_mm"] < mean_position_error(small_config(root, dims).resolved(dims), root)
    assert (out / "predictions.csv").is_file()
    file = sorted((root / "images").iterdir())[0]
    prediction = scn_tf.load(run).predict(file)
    np.testing.assert_array_equal(prediction.landmarks, scn_tf.load(run / "model.npz").predict(file).landmarks)
    assert np.isfinite(prediction.scores).all()
    # Going on with it, or over it, is as with networks.
    train_run.train(config.Config(), run, resume=True)
    with pytest.raises(config.ConfigError, match="already holds a run"):
        train_run.train(small_config(root, dims), run)


def test_damaged_forests_are_named(hands_2d, tmp_path):
    (tmp_path / "model.npz").write_bytes(b"PK no forest")
    with pytest.raises(checkpoints.CheckpointError, match="cannot be loaded"):
        scn_tf.load(tmp_path)
    np.savez(tmp_path / "model.npz", reaches=np.zeros(1))
    with pytest.raises(checkpoints.CheckpointError, match="cannot be loaded"):
        files.load_localizer(tmp_path / "model.npz")


def test_a_file_whose_trees_lead_nowhere_or_in_circles_is_refused(hands_2d, tmp_path):
    train_run.train(small_config(hands_2d, model__name="forest", **SMALL), tmp_path / "run")
    path = tmp_path / "run" / "model.npz"
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    stated = json.loads(str(arrays["metadata"]))
    del stated["checksum"]  # as an earlier version wrote it: the trees themselves are looked at
    arrays["metadata"] = np.array(json.dumps(stated))
    inner = int(np.flatnonzero(arrays["1/0/feature"] >= 0)[0])
    for name, place, value in (
        ("1/0/children", (inner, 0), inner),
        ("1/0/children", (inner, 1), 10**6),
        ("1/0/feature", (inner,), 999),
        ("1/0/roots", (0,), -5),
        ("0/radii", None, np.zeros((3, 2))),
    ):
        spoilt = {key: array.copy() for key, array in arrays.items()}
        if place is None:
            spoilt[name] = value
        else:
            spoilt[name][place] = value
        np.savez(tmp_path / "spoilt.npz", **spoilt)
        with pytest.raises(checkpoints.CheckpointError, match="cannot be loaded"):
            files.load_localizer(tmp_path / "spoilt.npz")
    content = path.read_bytes()
    for position in range(200, len(content) - 200, len(content) // 40):
        (tmp_path / "spoilt.npz").write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        with contextlib.suppress(checkpoints.CheckpointError):  # nothing else; a byte that does not matter may pass
            files.load_localizer(tmp_path / "spoilt.npz")
