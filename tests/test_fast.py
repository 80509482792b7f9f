"""The preset `fast`: a narrower finest level and separable kernels in the spatial part, in 2D and 3D, in every export."""

import json

import numpy as np
import pytest
import tensorflow as tf

import scn_tf
from benchmarks import candidates, fast_networks, gpu
from scn_tf import cli, config, export, models, train_run
from scn_tf.export.forms import FORMS
from scn_tf.runs import checkpoints
from tests.conftest import REPOSITORY, small_config

THIN = dict(finest_filters=3, spatial_convolution="separable")


def weights(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


def test_the_weights_of_the_preset_are_golden():
    n, f, w = 37, 16, 48  # landmarks, channels of the finest level, of the others
    local = 9 * f + f + 3 * (9 * f * f + f) + (9 * f * w + w) + 8 * (9 * w * w + w) + (w * f + f) + (9 * f * n + n)
    spatial = (11 * n * w + w) + 6 * (11 * w * w + w) + (11 * w * n + n)
    assert weights(scn_tf.build_network(landmarks=n, preset="fast")) == local + spatial
    assert scn_tf.build_network(dims=3, landmarks=4, preset="fast").output_shape == (None, 64, 64, 64, 4)


def test_it_takes_less_than_a_third_of_the_operations():
    size, rest = (352, 256), dict(filters=48, spatial_pooling=8)
    full = candidates.operations(scn_tf.build_network(landmarks=37, image_size=size, preset="small", **rest))
    assert full == pytest.approx(20.63e9, rel=1e-3)  # counted by hand, convolution by convolution
    assert candidates.operations(scn_tf.build_network(landmarks=37, preset="fast")) < full / 3


def test_other_presets_are_what_they_were():
    for preset in ("paper", "small", "tiny"):
        for dims in (2, 3):
            model = config.ModelConfig(preset=preset).resolved(dims)
            assert (model.finest_filters, model.spatial_convolution) == (model.filters, "full")
    names = [layer.name for layer in scn_tf.build_network(landmarks=3, image_size=(32, 48), filters=4, preset="tiny").layers]
    assert "la_0_width" not in names
    assert not [name for name in names if "axis" in name]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("dims", "size"), [(2, (16, 24)), (3, (8, 16, 12))])
def test_every_weight_gets_a_gradient(policy, dims, size, rng):
    with models.dtype_policy(policy):
        model = scn_tf.build_network(
            dims=dims, landmarks=3, image_size=size, filters=4, levels=2, spatial_pooling=4, spatial_kernel=3, preset="fast", **THIN
        )
    kernels = {layer.kernel.shape[:-2] for layer in model.layers if layer.name.startswith("sc_") and hasattr(layer, "kernel")}
    assert kernels == {tuple(3 if axis == own else 1 for axis in range(dims)) for own in range(dims)}
    with tf.GradientTape() as tape:
        maps = model(rng.normal(size=(2, *size, 1)).astype("float32"), training=True)
        loss = tf.reduce_sum((maps - 1.0) ** 2)
    for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True):
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("dims", [2, 3])
def test_it_trains_reloads_and_exports_with_the_same_answers(dims, hands_2d, hands_3d, tmp_path):
    settings = small_config(
        {2: hands_2d, 3: hands_3d}[dims], dims, model__preset="fast", model__finest_filters=3, model__spatial_kernel=3, train__epochs=1
    )
    train_run.train(settings, tmp_path / "run")
    network, info = checkpoints.load_model(tmp_path / "run" / "model.keras")
    assert (info.config.model.finest_filters, info.config.model.spatial_convolution) == (3, "separable")
    assert "sc_conv1_axis0" in [layer.name for layer in network.layers]
    targets = {name: tmp_path / f"out{form.suffix}" for name, form in FORMS.items() if dims == 2 or name != "tflite"}  # none in 3D
    for name, target in targets.items():
        export.write(tmp_path / "run", target, FORMS[name])
    assert cli.main(["check-parity", str(tmp_path / "run"), *map(str, targets.values())]) == 0


def test_stored_runs_of_the_benchmark_give_its_table(capsys):
    fast_networks.main(["table", str(REPOSITORY / "benchmarks" / "results" / "fast_networks")])
    lines = capsys.readouterr().out.splitlines()
    assert any(
        line.startswith("| hand_xray | fast | 5.86 G | 28 % | 378,010 | 0/1/2, 140/140/140 | 0.676, 0.681, 0.688 |") for line in lines
    )


def test_every_network_of_the_benchmark_maps_images_to_heatmaps():
    counted = {}
    recipe = dict(image_size=(48, 32), channels=1, landmarks=3, filters=8, levels=3, dropout=0.1, spatial_kernel=3, spatial_pooling=4)
    for name in (*candidates.BUILT_IN, *candidates.CANDIDATES):
        network = candidates.candidate(name, {**recipe, "spatial_filters": 8})
        assert network.output_shape == (None, 48, 32, 3), name
        counted[name] = candidates.operations(network)
    assert counted["half"] < counted["paper"]


def test_the_benchmark_of_gpus_also_runs_without_one(tmp_path):
    gpu.main(["--small", "--repeats", "1", "--batch", "1", "--many", "2", "--precisions", "float32", "--out", str(tmp_path / "gpu.json")])
    (found,) = [row for row in json.loads((tmp_path / "gpu.json").read_text())["rows"] if row["side"].startswith("Keras")]
    assert found["step_ms"] > 0
    assert found["images_per_s"] > 0
