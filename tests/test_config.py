from pathlib import Path

import pytest

from scn_tf import config
from scn_tf.config import bundled


def test_yaml_brings_back_an_equal_configuration(tmp_path):
    first = config.from_dict({"model": {"name": "unet", "image_size": [64, 48]}, "data": {"root": "a/b"}}).resolved(2)
    path = tmp_path / "config.yaml"
    path.write_text(first.to_yaml())
    assert config.load(path) == first


@pytest.mark.parametrize("name", bundled.names())
def test_every_bundled_configuration_is_valid(name):
    loaded = config.load(name)
    assert loaded.resolved(3 if len(loaded.model.image_size or (0, 0)) == 3 else 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": {"epoch": 3}}, r"train\.epoch: unknown field; did you mean train\.epochs\?"),
        ({"trian": {}}, r"trian: unknown field; did you mean train\?"),
        ({"train": {"epochs": 0}}, r"train\.epochs: .*greater than or equal to 1, received 0"),
        ({"model": {"name": "scm"}}, r"model\.name: .*'scn', 'unet'.*, received 'scm'"),
        ({"augment": {"elastic": 0.5}}, r"augment: elastic 0\.5 with a grid of 5 folds the image: at most 0\.112"),
        ({"train": {"learning_rate": "fast"}}, r"train\.learning_rate: expected a number, received 'fast'"),
        ({"train": {"epochs": 1.5}}, r"train\.epochs: expected a whole number, received 1\.5"),
        ({"model": {"image_size": 128}}, r"model\.image_size: expected a number for each side, such as 128,128, received 128"),
    ],
)
def test_mistakes_are_named_with_what_is_allowed(values, message):
    with pytest.raises(config.ConfigError, match=message):
        config.from_dict(values)


def test_command_line_values_override_and_are_typed():
    values = config.override(
        {"train": {"epochs": 3}},
        {"train.epochs": "7", "model.image_size": "256 192", "train.learning_rate": "1e-3", "train.minutes": "none", "data.root": "x"},
    )
    merged = config.from_dict(values)
    assert (merged.train.epochs, merged.model.image_size, merged.train.learning_rate) == (7, (256, 192), 1e-3)
    assert merged.train.minutes is None
    assert merged.data.root == Path("x")


def test_names_that_look_like_numbers_or_nothing_stay_names():
    merged = config.from_dict(config.override({}, {"data.val_split": "042", "data.root": "2024", "data.cache": "none"}))
    assert (merged.data.val_split, merged.data.root, merged.data.cache) == ("042", Path("2024"), "none")
    assert config.override({}, {"data.root": "none"}) == {"data": {"root": None}}


@pytest.mark.parametrize("text", ["64,48", "64x48", "[64, 48]", "64 48"])
def test_sizes_may_be_written_in_the_usual_ways(text):
    assert config.from_dict(config.override({}, {"model.image_size": text})).model.image_size == (64, 48)


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(config.ConfigError, match=r"did you mean train\.batch_size\?"):
        config.override({}, {"train.batchsize": "3"})


def test_the_paper_presets_hold_the_papers_numbers():
    flat = config.from_dict({"model": {"preset": "paper"}, "train": {"preset": "paper"}}).resolved(2)
    volume = config.from_dict({"model": {"preset": "paper"}, "train": {"preset": "paper"}}).resolved(3)
    assert (flat.model.filters, flat.model.levels, flat.model.spatial_kernel, flat.model.spatial_pooling) == (128, 4, 11, 16)
    assert (volume.model.filters, volume.model.spatial_kernel, volume.model.spatial_pooling) == (64, 7, 8)
    assert (flat.train.learning_rate, flat.train.optimizer, flat.train.clip_norm, flat.train.weight_decay) == (1e-6, "nesterov", 1e4, 1e-3)
    assert (flat.heatmap.gamma, flat.heatmap.alpha, volume.heatmap.gamma, volume.heatmap.alpha) == (100, 20, 1000, 100)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_settings_that_were_written_and_read_mean_the_same(preset, tmp_path):
    settings = config.from_dict({"model": {"preset": "paper"}, "train": {"preset": preset}})
    (tmp_path / "config.yaml").write_text(settings.to_yaml())
    for dims in (2, 3):
        assert config.load(tmp_path / "config.yaml").resolved(dims) == settings.resolved(dims)
    assert settings.resolved(3).train.weight_decay == {"default": 0.0, "paper": 5e-4}[preset]


@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_a_unet_has_no_dropout_of_scn_whatever_the_preset(preset):
    model = config.from_dict({"model": {"name": "unet", "preset": preset}}).resolved(2).model
    assert (model.levels, model.dropout) == (5, 0.0)


def test_the_weight_of_the_sigmas_follows_the_height_of_the_targets():
    assert config.HeatmapConfig(gamma=10).resolved(2).alpha == 0.2
    assert config.HeatmapConfig(gamma=100).resolved(3).alpha == 1.0
    assert config.HeatmapConfig(gamma=10, sigma_mode="anisotropic").resolved(2).alpha == 0.05
    assert config.HeatmapConfig(gamma=10, alpha=3).resolved(2).alpha == 3


def test_nothing_can_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        config.Config().train.epochs = 5


def test_adaptive_wing_needs_targets_that_cannot_shrink():
    settings = config.from_dict({"train": {"loss": "adaptive_wing"}, "heatmap": {"sigma_mode": "anisotropic"}})
    with pytest.raises(ValueError, match="adaptive_wing needs fixed, received anisotropic"):
        settings.resolved(2)


@pytest.mark.parametrize(("section", "message"), [("sigma_mode", "needs fixed"), ("decoder", "needs quadratic or argmax")])
def test_cross_entropy_takes_no_logits_for_heights(section, message):
    heatmap = {"sigma_mode": "fixed", "decoder": "quadratic", section: {"sigma_mode": "learned", "decoder": "centroid"}[section]}
    settings = config.from_dict({"train": {"loss": "cross_entropy"}, "heatmap": heatmap})
    with pytest.raises(ValueError, match=message):
        settings.resolved(2)


def test_a_blur_wider_than_the_image_is_refused_by_its_name():
    with pytest.raises(ValueError, match=r"augment\.blur: too wide for an input of \[32, 32\], received 12"):
        config.from_dict({"model": {"image_size": [32, 32]}, "augment": {"blur": 12}}).resolved(2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heatmap": {"sigma": 500.0}}, r"heatmap\.sigma: too wide for an input of \[128, 128\], received 500"),
        (
            {"model": {"image_size": [100_000, 100_000]}},
            r"model\.image_size: expected at most 134,217,728 pixels, received \[100000, ",
        ),
    ],
)
def test_what_no_network_can_be_trained_with_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        config.from_dict(values).resolved(2)
