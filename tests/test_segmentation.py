import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf

import scn_tf
from scn_tf import cli, config, evaluate_run, geometry, train_run
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DatasetError
from scn_tf.runs import checkpoints
from scn_tf.systems.label_map import evaluation, maps
from scn_tf.systems.label_map.objective import label_objective, warp_labels
from scn_tf.training import augment, draws
from scn_tf.training.trainer import build_trainer
from tests.conftest import LABEL_SETTINGS as SETTINGS
from tests.conftest import interrupted_after, small_config, state


def test_dice_is_that_of_hand_made_maps():
    truth = np.array([[[0, 1, 1], [2, 2, 0]]])
    found = np.array([[[0, 1, 0], [2, 2, 2]]])
    np.testing.assert_allclose(evaluation.dice(found, truth, 4), [[2 * 1 / 3, 2 * 2 / 5, np.nan]])


@pytest.mark.parametrize(("dims", "root"), [(2, "hands_2d"), (3, "hands_3d")])
def test_label_maps_lie_where_their_images_do(dims, root, request):
    """A landmark ends a bone: its own label, or that of the bone which goes on from there, is found at it."""
    opened = open_dataset(request.getfixturevalue(root))
    size = {2: [128, 96], 3: [32, 56, 40]}[dims]  # fine enough for a phalanx
    model = small_config(opened.root, dims, model__image_size=size).resolved(dims).model
    ids = opened.split("train")
    arrays, labels = maps.read_examples(opened, ids, model)
    assert arrays.shape[:-1] == labels.shape
    names = opened.description.labels
    for index, identity in enumerate(ids):
        image = opened.read(identity)
        fit = geometry.fit_to_input(image.size, opened.pixel_size(image), model.image_size[::-1], spacing=model.spacing_mm)
        points = geometry.apply(fit.input_from_array, opened.truth_in_array(identity, image))
        for name, point in zip(opened.description.names, points, strict=True):
            near = np.round(point).astype(int)
            window = tuple(slice(max(c - 1, 0), c + 2) for c in near[::-1])
            assert names.index(name.split("_")[0]) in labels[index][window], name


def test_labels_are_warped_with_their_image(rng):
    settings = config.AugmentConfig(translation=0.1, rotation=0.5, scale=0.3, elastic=0.03)
    image = np.zeros((1, 40, 32, 1), "float32")
    image[0, 10:28, 8:20, 0] = 1.0
    draw = draws.sample(settings, 1, (40, 32), seed=tf.constant([3, 4]))
    shares = warp_labels(draw, tf.constant(image[..., 0].astype("uint8") * 2), 3).numpy()
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0, atol=1e-5)
    assert shares[..., 1].max() == 0
    np.testing.assert_allclose(shares[..., 2], 0.5 + 0.5 * augment.warp_images(draw, tf.constant(2 * image - 1))[..., 0], atol=1e-5)


@pytest.mark.parametrize(
    ("dims", "root", "loss"), [(2, "hands_2d", "cross_entropy"), (2, "hands_2d", "l2"), (3, "hands_3d", "cross_entropy")]
)
def test_a_segmentation_run_trains_and_is_evaluated(dims, root, loss, request, tmp_path):
    root, run = request.getfixturevalue(root), tmp_path / "run"
    settings = small_config(root, dims, **{**SETTINGS, "train__loss": loss})
    best = train_run.train(settings, run)
    summary, out = evaluate_run.evaluate(run, "val")
    assert (1 - summary["dice_mean"], best["unit"]) == (pytest.approx(best["error"], abs=1e-6), "1 - Dice")
    assert {p.name for p in out.iterdir()} == {"summary.json", "dice.csv", "segmentation.png"}
    assert json.loads((out / "summary.json").read_text()) == summary
    assert list(summary["dice"]) == list(open_dataset(root).description.labels[1:])
    assert "Dice   mean" in evaluate_run.table(summary)


def test_what_needs_landmarks_refuses_a_label_map_in_one_line(label_run_2d, hands_2d, tmp_path, capsys):
    run, image = str(label_run_2d), str(hands_2d / "images" / "hand_008.png")
    for arguments in (
        ["predict", run, image],
        ["combine", run, run, "--out", str(tmp_path / "pair.keras")],
        ["check-parity", run, str(tmp_path)],
        ["demo", run, "--port", "0", "--no-open", "--out", str(tmp_path / "page")],
    ):
        assert cli.main(arguments) == 1
        message = f"error: {run}: finds label maps, not landmarks; only evaluate and export can use it."
        assert capsys.readouterr().err.splitlines() == [message]


def test_the_command_names_the_folder_of_an_evaluation_without_a_report(label_run_2d, tmp_path, capsys):
    assert cli.main(["evaluate", str(label_run_2d), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"report   {tmp_path / 'out'}"


def test_a_resumed_label_map_ends_where_an_uninterrupted_one_does(label_run_2d, hands_2d, tmp_path, monkeypatch):
    with interrupted_after(1):
        train_run.train(small_config(hands_2d, **SETTINGS), tmp_path / "parts")
    assert len(list(csv.DictReader((tmp_path / "parts" / "history.csv").read_text().splitlines()))) == 1
    train_run.train(config.Config(), tmp_path / "parts", resume=True)
    for first, second in zip(state(label_run_2d), state(tmp_path / "parts"), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_it_learns(hands_2d, tmp_path):
    run = tmp_path / "run"
    train_run.train(small_config(hands_2d, train__epochs=60, train__validate_every=60, **SETTINGS), run)
    rows = [float(row["loss"]) for row in csv.DictReader((run / "history.csv").read_text().splitlines())]
    assert rows[-1] < 0.5 * rows[0]
    # Everything background would have a Dice of zero.
    assert 1 - checkpoints.read_info(run / "model.keras").validation["error"] > 0.2


def test_mistakes_in_label_maps_are_named(hands_2d, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(hands_2d, root)
    model, opened = small_config(root).resolved(2).model, open_dataset(root)
    path = root / "labels" / "hand_002.png"
    for content, message in ((np.full((256, 192), 9, "uint8"), r"hand_002\.png: expected labels 0 to 7, received 9\."),
                             (np.zeros((9, 9), "uint8"), r"hand_002\.png: \[9, 9\] pixels, but its image has")):  # fmt: skip
        sitk.WriteImage(sitk.GetImageFromArray(content), str(path))
        with pytest.raises(DatasetError, match=message):
            maps.read_examples(opened, ["hand_002"], model)
    path.unlink()
    with pytest.raises(DatasetError, match=r"hand_002\.\*: missing label map"):
        maps.read_examples(opened, ["hand_002"], model)
    (root / "dataset.yaml").write_text((root / "dataset.yaml").read_text().split("labels:")[0] + "coordinates: pixel\n")
    with pytest.raises(DatasetError, match="segmentation needs the key labels"):
        maps.read_examples(open_dataset(root), ["hand_001"], model)
    with pytest.raises(config.ConfigError, match="expected l2 or cross_entropy for segmentation, received huber"):
        train_run.train(small_config(hands_2d, **{**SETTINGS, "train__loss": "huber"}), tmp_path / "run")


def test_it_follows_the_settings_of_the_shared_trainer(hands_2d):
    values = dict(train__ema=0.9, train__optimizer="nesterov", train__precision="mixed_bfloat16", train__weight_decay=0.1)
    settings = small_config(hands_2d, **SETTINGS, **values).resolved(2)
    trainer = build_trainer(settings, label_objective, num_maps=8, channels=1)
    assert trainer.optimizer.use_ema
    assert trainer.optimizer.nesterov
    assert "bfloat16" in {layer.compute_dtype for layer in trainer.network.layers}
    images = np.random.default_rng(3).normal(size=(3, 48, 32, 1)).astype("float32")
    before = [variable.numpy() for variable in trainer.trainable_variables]
    logs = trainer.train_step({"image": tf.constant(images), "labels": tf.ones((3, 48, 32), "uint8")})
    assert np.isfinite(logs["label_loss"])
    assert any((variable.numpy() != old).any() for variable, old in zip(trainer.trainable_variables, before, strict=True))


def test_mirrored_labels_are_refused(hands_2d, tmp_path):
    with pytest.raises(config.ConfigError, match=r"augment\.mirror: expected 0 for segmentation, received 0\.5"):
        train_run.train(small_config(hands_2d, **SETTINGS, augment__mirror=0.5), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_label_map_whose_header_turns_it_otherwise_is_refused(hands_3d, tmp_path):
    root = shutil.copytree(hands_3d, tmp_path / "set")
    path = root / "labels" / "hand_001.nii.gz"
    turned = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.DICOMOrient(turned, "RAS"), str(path))  # stored otherwise, in the same place
    opened, model = open_dataset(root), small_config(root, 3, model__name="segmentation").resolved(3).model
    labels, intact = (maps.read_examples(one, ["hand_001"], model)[1] for one in (opened, open_dataset(hands_3d)))
    np.testing.assert_array_equal(labels, intact)
    turned.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))  # the same voxels
    sitk.WriteImage(turned, str(path))
    with pytest.raises(DatasetError, match=r"hand_001\.nii\.gz: its header orders the axes differently from that of its image"):
        maps.read_examples(opened, ["hand_001"], model)


def test_an_evaluation_on_other_labels_is_refused(label_run_2d, hands_2d, hands_3d, tmp_path):
    run, root = shutil.copytree(label_run_2d, tmp_path / "run"), tmp_path / "set"
    shutil.copytree(hands_2d, root)
    (root / "dataset.yaml").write_text((root / "dataset.yaml").read_text().replace("- radius\n- ulna", "- ulna\n- radius"))
    for other in (root, hands_3d):
        with pytest.raises(DatasetError, match=r"labels in .* but the model finds 8 in 2D"):
            evaluate_run.evaluate(run, "val", root=other)


def test_a_landmark_network_is_built_as_before():
    assert scn_tf.build_network("segmentation", landmarks=4, image_size=(32, 48), preset="tiny").output_shape == (None, 32, 48, 4)


def test_label_maps_keep_every_pixel_where_ties_fall(hands_2d):
    """127 columns centred in 128 lie half a pixel off: none may be taken twice while its neighbour is lost."""
    fit = geometry.fit_to_input(np.array([127, 128]), np.ones(2), (128, 128))
    labels = np.broadcast_to(np.arange(127, dtype="uint8"), (128, 127))
    found = maps._nearest(labels, fit, (128, 128))[5]
    np.testing.assert_array_equal(np.unique(found), np.arange(127))
