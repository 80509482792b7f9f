"""A model, a decoder, a loss and a command from outside the package, through the public calls and through entry points.

Annotation and image formats are in test_plugins_data.py, forms of export in test_plugins_forms.py.
"""

import dataclasses
import os
import subprocess
import sys

import pytest

import scn_tf
from scn_tf import cli, config
from scn_tf.cli.command import COMMANDS
from scn_tf.heatmaps.decoders import DECODERS
from scn_tf.heatmaps.losses import LOSSES
from scn_tf.models import MODELS
from tests.conftest import REPOSITORY

PLUGIN = '''
"""What another package would ship."""

import scn_tf
from scn_tf.environment.backend import keras, layers, ops


def build(image_shape, landmarks, *, filters=4):
    image = keras.Input(image_shape, name="image")
    tensor = layers.MaxPooling2D(4)(layers.Conv2D(filters, 5, padding="same", activation="relu")(image))
    heatmaps = layers.UpSampling2D(4, name="heatmaps", dtype="float32")(layers.Conv2D(landmarks, 5, padding="same")(tensor))
    return keras.Model(image, heatmaps)


def corner(heatmaps):
    """Every landmark at (3, 5)."""
    scores = ops.max(heatmaps, axis=(1, 2))
    return ops.stack([3.0 + 0.0 * scores, 5.0 + 0.0 * scores], axis=-1), scores


def absolute(predicted, target, peak):
    return ops.sum(ops.abs(predicted - target), axis=(1, 2))


NET = scn_tf.Model(name="toy_net", description="for tests", build=build, divisor=lambda settings: 4, defaults=dict(filters=5))
DECODER = scn_tf.Decoder(name="toy_decoder", description="for tests", decode=corner)
LOSS = scn_tf.Loss(name="toy_loss", description="for tests", map_losses=absolute, fixed_sigmas=True)
COMMAND = scn_tf.Command(
    name="toy-command",
    help="for tests",
    add_arguments=lambda parser: parser.add_argument("--times", type=int, default=1),
    run=lambda options: print("toy " * options.times),
    needs_tensorflow=False,
)
'''
ENTRY_POINTS = """[scn_tf.models]
toy_net = toy_plugin:NET
[scn_tf.decoders]
toy_decoder = toy_plugin:DECODER
[scn_tf.losses]
toy_loss = toy_plugin:LOSS
[scn_tf.commands]
toy-command = toy_plugin:COMMAND
"""
SETTINGS = [
    *("--model.name", "toy_net", "--model.image_size", "48,32", "--heatmap.decoder", "toy_decoder", "--train.loss", "toy_loss"),
    *("--heatmap.sigma_mode", "fixed", "--train.epochs", "1", "--train.precision", "float32"),
]


@pytest.fixture
def plugin(tmp_path):
    """Folder of an installed package with entry points: on PYTHONPATH it is there."""
    folder = tmp_path / "site"
    (folder / "toy_plugin-1.0.dist-info").mkdir(parents=True)
    (folder / "toy_plugin.py").write_text(PLUGIN)
    (folder / "toy_plugin-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (folder / "toy_plugin-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture
def registered():
    """The same rows through the public calls."""
    namespace = {"__name__": "toy"}
    exec(PLUGIN, namespace)
    rows = ((MODELS, "NET"), (DECODERS, "DECODER"), (LOSSES, "LOSS"), (COMMANDS, "COMMAND"))
    for call, (_, name) in zip(
        (scn_tf.register_model, scn_tf.register_decoder, scn_tf.register_loss, scn_tf.register_command), rows, strict=True
    ):
        call(namespace[name])
    yield namespace
    for registry, name in rows:
        registry.unregister(namespace[name].name)


def scn_tf_command(plugin, *arguments):
    path = os.pathsep.join([str(plugin), str(REPOSITORY)])
    return subprocess.run(
        [sys.executable, "-m", "scn_tf", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_an_installed_package_adds_a_model_a_decoder_a_loss_and_a_command(plugin, hands_2d, tmp_path):
    listed = scn_tf_command(plugin, "--help")
    assert "toy-command" in listed.stdout, listed.stderr
    assert scn_tf_command(plugin, "toy-command", "--times", 2).stdout == "toy toy \n"
    help_text = scn_tf_command(plugin, "train", "--help").stdout
    assert all(f"|{name}" in help_text for name in ("toy_net", "toy_decoder", "toy_loss"))
    run = tmp_path / "run"
    trained = scn_tf_command(plugin, "train", "--data.root", hands_2d, "--run-dir", run, *SETTINGS)
    assert trained.returncode == 0, trained.stderr
    found = scn_tf_command(plugin, "predict", run, hands_2d / "images" / "hand_007.png", "--out", tmp_path / "found.csv")
    assert found.returncode == 0, found.stderr
    rows = [line.split(",")[2:4] for line in (tmp_path / "found.csv").read_text().splitlines()[1:]]
    assert len(rows) == 21
    assert len(set(map(tuple, rows))) == 1  # the decoder's one corner
    without = subprocess.run([sys.executable, "-m", "scn_tf", "evaluate", str(run)], capture_output=True, text=True, cwd=REPOSITORY)
    assert without.returncode == 1
    assert "toy_" in without.stderr


def test_registered_rows_are_used_by_the_command_line(registered, hands_2d, tmp_path, capsys):
    assert cli.main(["toy-command"]) == 0
    assert capsys.readouterr().out == "toy \n"
    run = tmp_path / "run"
    assert cli.main(["train", "--data.root", str(hands_2d), "--run-dir", str(run), *SETTINGS]) == 0
    assert cli.main(["evaluate", str(run), "--out", str(tmp_path / "out")]) == 0
    assert config.load(run / "config.yaml").model.filters == 5  # the row's default
    capsys.readouterr()
    refused = ["train", "--data.root", str(hands_2d), "--run-dir", str(tmp_path / "odd"), *SETTINGS, "--model.image_size", "66,66"]
    assert cli.main(refused) == 1
    assert "every side must be a multiple of 4" in capsys.readouterr().err
    assert cli.main(["train", *SETTINGS, "--heatmap.sigma_mode", "learned", "--data.root", str(hands_2d)]) == 1
    assert "train.loss toy_loss needs fixed" in capsys.readouterr().err


def test_a_name_can_be_registered_once(registered):
    with pytest.raises(scn_tf.ConfigError, match="model toy_net: is already registered"):
        scn_tf.register_model(dataclasses.replace(registered["NET"], description="another"))
    with pytest.raises(scn_tf.ConfigError, match="decoder: expected a Decoder, received Loss"):
        scn_tf.register_decoder(registered["LOSS"])


def test_a_plug_in_that_cannot_be_imported_leaves_the_others_usable(plugin):
    (plugin / "toy_plugin.py").write_text("raise RuntimeError('broken')\n")
    listed = scn_tf_command(plugin, "--help")
    assert listed.returncode == 0
    assert "evaluate" in listed.stdout
    assert "command toy-command: the plug-in that offers it cannot be imported (RuntimeError: broken)" in listed.stderr
    used = scn_tf_command(plugin, "train", "--model.name", "toy_net", "--run-dir", plugin / "run")
    assert used.returncode == 1
    assert "model toy_net: the plug-in that offers it cannot be imported" in used.stderr


def test_allowed_values_of_the_settings_are_the_names_of_the_registries():
    fields = config.field_names()
    for name, registry in (("model.name", MODELS), ("heatmap.decoder", DECODERS), ("train.loss", LOSSES)):
        assert config.allowed_values(fields[name]) == tuple(registry)
        for row in registry.values():
            assert f"{row.name}: {row.description}" in config.describe(fields[name])
    with pytest.raises(scn_tf.ConfigError, match=r"model\.name: input should be 'scn', 'unet', .* or 'segmentation', received 'scm'"):
        config.from_dict({"model": {"name": "scm"}})
