"""Every setting of a run: frozen, validated, read from YAML and from the command line.

A field's description is its help text. Presets fill unset fields. A run saves the resolved values, so ``RUN/config.yaml`` holds
every setting that was used.
"""

import math
import re
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field

from scn_tf.config.choices import OneOf
from scn_tf.errors import ConfigWarning
from scn_tf.heatmaps.decoders import DECODERS
from scn_tf.heatmaps.losses import LOSSES
from scn_tf.models import MODELS
from scn_tf.presence import known

Size = Annotated[tuple[int, ...], Field(min_length=2, max_length=3)]
MEAN, RANDOM = "mean", "random"  # values of data.rater that are no names
MAX_COUNT = 10**9  # of what is counted: TensorFlow counts in 32 bits
MAX_INPUT_PIXELS = 512**3  # no network of ours fits a larger input into memory

# {2: ..., 3: ...}: another value in 2D and 3D. Sizes are in array order.
MODEL_PRESETS: dict[str, dict[str, Any]] = {
    "paper": dict(
        image_size={2: (512, 512), 3: (192, 96, 96)},
        filters={2: 128, 3: 64},
        levels=4,
        dropout=0.5,
        spatial_kernel={2: 11, 3: 7},
        spatial_pooling={2: 16, 3: 8},
    ),
    "small": dict(
        image_size={2: (256, 256), 3: (64, 64, 64)},
        filters={2: 64, 3: 32},
        levels=4,
        dropout=0.25,
        spatial_kernel={2: 11, 3: 5},
        spatial_pooling={2: 16, 3: 8},
    ),
    "tiny": dict(
        image_size={2: (128, 128), 3: (32, 32, 32)},
        filters={2: 32, 3: 16},
        levels={2: 4, 3: 3},
        dropout=0.0,
        spatial_kernel={2: 11, 3: 5},
        spatial_pooling={2: 8, 3: 4},
    ),
    "fast": dict(  # a third of the operations of the same network at one width (docs/research/fast.md)
        image_size={2: (352, 256), 3: (64, 64, 64)},
        filters={2: 48, 3: 16},
        finest_filters={2: 16, 3: 8},
        levels={2: 4, 3: 3},
        dropout={2: 0.25, 3: 0.0},
        spatial_kernel={2: 11, 3: 5},
        spatial_pooling={2: 8, 3: 4},
        spatial_convolution="separable",
    ),
}

# The released settings belong to a loss that is a plain sum; see scn_tf/heatmaps/losses.
TRAIN_PRESETS: dict[str, dict[str, Any]] = {
    "default": dict(optimizer="adam", learning_rate=1e-3, schedule="cosine", clip_norm=1.0, loss_scale="mean", weight_decay=0.0),
    "paper": dict(
        optimizer="nesterov",
        learning_rate={2: 1e-6, 3: 5e-8},
        schedule="constant",
        clip_norm=1e4,
        loss_scale="paper",
        weight_decay={2: 1e-3, 3: 5e-4},
    ),
}


def refuse_booleans(value: object) -> object:
    """Reject booleans, also in lists. Pydantic itself would accept true as 1."""
    values = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(one, bool) for one in values):
        raise ValueError("expected no boolean (a text such as yes or no needs quotation marks)")
    for one in values:
        if isinstance(one, list | tuple):
            refuse_booleans(one)
    return value


class Section(pydantic.BaseModel):
    """Base of all sections: frozen, unknown fields are rejected, every number is finite."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)
    _no_booleans = pydantic.field_validator("*", mode="before")(refuse_booleans)


class DataConfig(Section):
    """The images of a run."""

    root: Path | None = Field(None, description="folder of the data set; none: the embedded synthetic hands")
    train_split: str = Field("train", description="name of the split to train on")
    val_split: str = Field("val", description="name of the split that picks the best weights")
    train_count: int | None = Field(None, ge=1, le=MAX_COUNT, description="number of training images to use, drawn by the seed; none: all")
    leave_out: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="IDs of images to take out of both splits, with commas between them; none: all are used"
    )
    missing: Literal["refuse", "skip"] = Field("refuse", description="what to do about missing images of a split")
    rater: str = Field(
        MEAN,
        min_length=1,
        max_length=200,
        description="of several raters, whom to train on: a name, mean, or random (another one per draw)",
    )
    cache: Literal["auto", "memory", "disk", "none"] = Field(
        "auto",
        description="where prepared images are kept; auto: in memory if they take at most 35 % of it, else on disk; none: nowhere",
    )
    workers: int = Field(2, ge=1, le=256, description="images decoded in parallel")
    service: str | None = Field(
        None, description="HOST:PORT of a tf.data service that reads the prepared images of a training; none: this process reads them"
    )

    @pydantic.field_validator("leave_out", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if not isinstance(value, str | list | tuple | None):
            raise ValueError("expected IDs with commas between them")
        return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value

    @pydantic.field_validator("service")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        found = None if value is None else re.fullmatch(r"(?:grpc://)?([A-Za-z0-9._-]+:([0-9]{1,5}))", value)
        if value is not None and not (found and 0 < int(found[2]) < 2**16):
            raise ValueError("expected HOST:PORT or grpc://HOST:PORT")
        return found and found[1]


class ModelConfig(Section):
    """The network and its input."""

    name: Annotated[str, OneOf(MODELS)] = Field("scn", description="the network or other system to train")
    preset: Literal["paper", "small", "tiny", "fast"] = Field("tiny", description="preset for the unset fields of this section")
    image_size: Size | None = Field(None, description="sides of the network's input in array order: H W or D H W")
    spacing_mm: float | None = Field(None, ge=1e-6, le=1e6, description="mm per input pixel; none: the image fills the input")
    filters: int | None = Field(None, ge=1, le=4096, description="channels of every convolution")
    finest_filters: int | None = Field(None, ge=1, le=4096, description="channels at full resolution; none: as many as filters")
    levels: int | None = Field(None, ge=1, le=8, description="resolutions of the local appearance part or U-Net")
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(None, description="dropout rate, in steps of 1/256")
    spatial_filters: int | None = Field(None, ge=1, le=4096, description="channels of the spatial part; none: as many as filters")
    spatial_kernel: int | None = Field(None, ge=1, le=255, description="kernel side of the spatial part, odd")
    spatial_pooling: int | None = Field(None, ge=1, le=1024, description="reduction of resolution in the spatial part")
    spatial_convolution: Literal["full", "separable"] | None = Field(
        None, description="full: whole kernels in the spatial part; separable: a kernel along each axis instead; none: full"
    )

    @property
    def fills_input(self) -> bool:
        """Whether every image is enlarged or shrunk until it fills the input."""
        return self.spacing_mm is None

    def resolved(self, dims: int) -> "ModelConfig":
        """The same section with every field set for 2 or 3 dimensions, sides checked.

        Raises:
            ValueError: a side is no multiple of the poolings, or the kernel is even.
        """
        values, row = self.model_dump(), MODELS[self.name]
        for key, value in {**MODEL_PRESETS[self.preset], **row.defaults}.items():
            if values[key] is None:
                values[key] = value[dims] if isinstance(value, dict) else value
        values["finest_filters"] = values["finest_filters"] or values["filters"]
        values["spatial_filters"] = values["spatial_filters"] or values["filters"]
        values["spatial_convolution"] = values["spatial_convolution"] or "full"
        if len(values["image_size"]) != dims:
            raise ValueError(f"model.image_size: expected {dims} sides ({'D H W'[-2 * dims + 1 :]}), received {values['image_size']}.")
        if values["spatial_kernel"] % 2 == 0:
            raise ValueError(f"model.spatial_kernel: expected an odd number, received {values['spatial_kernel']}.")
        divisor = row.divisor(values)
        for side in values["image_size"]:
            if side < 1 or side % divisor:
                near = sorted({max(1, side // divisor) * divisor, (side // divisor + 1) * divisor})
                raise ValueError(
                    f"model.image_size: every side must be a multiple of {divisor} (poolings of the network), "
                    f"received {side}; nearest: {' or '.join(map(str, near))}."
                )
        if math.prod(values["image_size"]) > MAX_INPUT_PIXELS:
            raise ValueError(f"model.image_size: expected at most {MAX_INPUT_PIXELS:,} pixels, received {list(values['image_size'])}.")
        return ModelConfig(**values)


class HeatmapConfig(Section):
    """The Gaussian targets and the decoding of heatmaps."""

    sigma: float = Field(2.0, ge=1e-3, le=1e4, description="standard deviation at the start, network pixels")
    sigma_mode: Literal["learned", "anisotropic", "fixed"] = Field(
        "learned", description="one trainable sigma per landmark, one along each of its own axes with their rotation, or all fixed"
    )
    gamma: float | None = Field(None, ge=1e-6, le=1e9, description="scale of the targets; none: 100 in 2D, 1000 in 3D")
    alpha: float | None = Field(
        None,
        ge=0,
        le=1e12,
        description="weight of the term that keeps learned sigmas small; none: 20 in 2D, 100 in 3D, 5 if anisotropic, "
        "each times the square of gamma over its default",
    )
    decoder: Annotated[str, OneOf(DECODERS)] = Field("quadratic", description="how a heatmap becomes a point")

    def resolved(self, dims: int) -> "HeatmapConfig":
        """The same section with every field set for 2 or 3 dimensions."""
        values = self.model_dump()
        usual = {2: 100.0, 3: 1000.0}[dims]
        values["gamma"] = values["gamma"] or usual
        if values["alpha"] is None:
            alpha = 5.0 if self.sigma_mode == "anisotropic" else {2: 20.0, 3: 100.0}[dims]
            # As the heatmaps' term grows with gamma squared: lower targets alone would leave the sigmas to alpha, which wants none.
            values["alpha"] = alpha * values["gamma"] ** 2 / usual**2
        return HeatmapConfig(**values)


class AugmentConfig(Section):
    """Random changes of the training images. Every range is symmetric around no change."""

    translation: float = Field(0.05, ge=0, le=0.5, description="fraction of each input side")
    rotation: float = Field(0.25, ge=0, le=3.15, description="radians, about every axis in 3D")
    scale: float = Field(0.2, ge=0, le=0.9, description="common factor 1 +- scale")
    axis_scale: float = Field(0.1, ge=0, le=0.9, description="factor 1 +- axis_scale of each axis")
    elastic: float = Field(0.03, ge=0, le=1, description="displacement of control points, fraction of each input side")
    elastic_grid: int = Field(5, ge=2, le=64, description="control points along each side")
    intensity_shift: float = Field(0.25, ge=0, le=100, description="added, images span about -1 to 1")
    intensity_scale: float = Field(0.25, ge=0, le=0.9, description="factor 1 +- intensity_scale")
    noise: float = Field(0.0, ge=0, le=100, description="largest standard deviation of added Gaussian noise")
    blur: float = Field(0.0, ge=0, le=1000, description="largest standard deviation of a Gaussian blur, pixels")
    mirror: float = Field(
        0.0, ge=0, le=1, description="share of images mirrored left to right; flip_pairs of dataset.yaml exchange their landmarks"
    )
    crop: float = Field(0.0, ge=0, le=1, description="share of images of which a side or corner is cut off; landmarks there are absent")
    cover: float = Field(0.0, ge=0, le=1, description="share of images of which a bright piece, like metal, covers a part")

    @pydantic.model_validator(mode="after")
    def _elastic_can_be_inverted(self) -> "AugmentConfig":
        # Points move by the inverse field, found by a fixed-point iteration. It converges where
        # the field's slope, at most 2 * elastic * (elastic_grid - 1), stays below one.
        slope = 2 * self.elastic * (self.elastic_grid - 1)
        if slope > 0.9:
            raise ValueError(
                f"elastic {self.elastic} with a grid of {self.elastic_grid} folds the image: "
                f"at most {math.floor(450 / (self.elastic_grid - 1)) / 1000}"
            )
        return self


class TrainConfig(Section):
    """The training."""

    preset: Literal["default", "paper"] = Field("default", description="preset for unset fields, from optimizer to weight_decay")
    epochs: int = Field(100, ge=1, le=MAX_COUNT, description="passes over the training images")
    minutes: float | None = Field(None, gt=0, le=1e7, description="wall-clock limit; training ends there or after the last epoch")
    batch_size: int = Field(2, ge=1, le=MAX_COUNT, description="images per step, over all replicas")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of initial weights, image order and augmentation")
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "auto",
        description="auto: mixed_bfloat16 where the processor supports it and it is faster; mixed_float16: for GPUs without it, "
        "with a scaled loss",
    )
    strategy: Literal["auto", "single", "mirrored", "multi_worker"] = Field(
        "auto", description="auto: mirrored with several GPUs whose number divides batch_size; multi_worker: several processes or machines"
    )
    compile: Literal["auto", "off", "xla"] = Field(
        "auto", description="xla: compile the step; auto: on a GPU where that was measured to be faster, never on a CPU"
    )
    validate_every: int = Field(5, ge=1, le=MAX_COUNT, description="epochs between two validations")
    optimizer: Literal["adam", "nesterov"] | None = Field(None, description="adam, or SGD with Nesterov momentum 0.99")
    learning_rate: float | None = Field(
        None, ge=1e-12, le=1e3, description="highest learning rate; the cosine starts at 2 % of it and rises for 4 % of the run"
    )
    schedule: Literal["cosine", "exponential", "constant"] | None = Field(
        None, description="cosine: a short rise, then down to zero; exponential: down to a tenth; constant"
    )
    clip_norm: float | None = Field(None, ge=1e-12, le=1e12, description="largest norm of the gradient; larger gradients are scaled down")
    loss_scale: Literal["mean", "paper"] | None = Field(None, description="see scn_tf/heatmaps/losses")
    weight_decay: float | None = Field(
        None, ge=0, le=1e6, description="lambda of the squared weights; default: 0, paper: 1e-3 in 2D, 5e-4 in 3D"
    )
    loss: Annotated[str, OneOf(LOSSES)] = Field("l2", description="loss between heatmaps and targets")
    keep: Literal["best", "last"] = Field(
        "best", description="weights to keep: those of the best validation, or the last, if the validation split must not select them"
    )
    ema: float = Field(0.0, ge=0, lt=1, description="momentum of averaged weights, which are validated and kept instead; 0: no averaging")

    def resolved(self, dims: int) -> "TrainConfig":
        """The same section with every field set for 2 or 3 dimensions."""
        values = self.model_dump()
        for key, value in TRAIN_PRESETS[self.preset].items():
            if values[key] is None:
                values[key] = value[dims] if isinstance(value, dict) else value
        return TrainConfig(**values)


class ForestConfig(Section):
    """Random regression forests (``model.name`` forest or forest_shape); networks ignore it."""

    trees: int = Field(12, ge=1, le=10_000, description="trees of a forest")
    features: int = Field(240, ge=2, le=100_000, description="number of box-difference features")
    samples: int = Field(150, ge=1, le=100_000, description="training pixels per image, stage and landmark")
    leaf: int = Field(4, ge=1, le=MAX_COUNT, description="smallest number of samples per leaf")


class Config(Section):
    """All settings of a run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    heatmap: HeatmapConfig = HeatmapConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()
    forest: ForestConfig = ForestConfig()

    def resolved(self, dims: int) -> "Config":
        """The same configuration with every field set for 2 or 3 dimensions.

        Raises:
            ValueError: two fields contradict each other.
        """
        loss = LOSSES[self.train.loss]
        network = MODELS[self.model.name].has_heatmaps
        if not network and self.data.rater == RANDOM:
            raise ValueError(f"data.rater: model.name {self.model.name} cannot draw a random rater; use {MEAN} or a name.")
        if network and loss.fixed_sigmas and self.heatmap.sigma_mode != "fixed":
            raise ValueError(f"heatmap.sigma_mode: train.loss {loss.name} needs fixed, received {self.heatmap.sigma_mode}.")
        if network and loss.decoders is not None and self.heatmap.decoder not in loss.decoders:
            allowed = " or ".join(loss.decoders)
            raise ValueError(f"heatmap.decoder: train.loss {loss.name} needs {allowed}, received {self.heatmap.decoder}.")
        model = self.model.resolved(dims)
        size = known(model.image_size)
        if network and 2 * self.heatmap.sigma >= min(size):
            raise ValueError(f"heatmap.sigma: too wide for an input of {list(size)}, received {self.heatmap.sigma}.")
        if math.ceil(3 * self.augment.blur) >= min(size):  # the image is mirrored at its borders, once
            raise ValueError(f"augment.blur: too wide for an input of {list(size)}, received {self.augment.blur}.")
        return Config(
            data=self._served(),
            model=model,
            heatmap=self.heatmap.resolved(dims),
            augment=self.augment,
            train=self.train.resolved(dims),
            forest=self.forest,
        )

    def _served(self) -> DataConfig:
        """Section ``data``. A service reads prepared images, so they are on disk."""
        if self.data.service is None:
            return self.data
        if self.data.cache not in ("auto", "disk"):
            raise ValueError(f"data.cache: data.service reads prepared images from disk; use disk or auto, received {self.data.cache}.")
        if self.train.strategy == "multi_worker":
            raise ValueError("data.service: cannot be combined with train.strategy multi_worker, whose processes read their own images.")
        if not MODELS[self.model.name].has_heatmaps:
            raise ValueError(f"data.service: is for networks that find landmarks; model.name {self.model.name} has its images in memory.")
        return self.data.model_copy(update={"cache": "disk"})

    def to_yaml(self) -> str:
        """YAML text from which :func:`scn_tf.config.load` reads an equal configuration."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def warn_if_too_large(train: TrainConfig, images: int) -> None:
    """Warn (:class:`ConfigWarning`) if the batch size of a resolved :class:`TrainConfig` exceeds the number of training images."""
    if train.batch_size > images:
        warnings.warn(
            f"train.batch_size: {train.batch_size}, but there are {images} training images: each epoch is one step with all of them.",
            ConfigWarning,
            stacklevel=3,
        )


def warn_if_too_narrow(model: ModelConfig, landmarks: int) -> None:
    """Warn (:class:`ConfigWarning`) if the network of a resolved :class:`ModelConfig` has too few filters for its landmarks."""
    if MODELS[model.name].filters_per_landmark and known(model.filters) < landmarks:
        warnings.warn(
            f"model.filters: {model.filters} channels for {landmarks} landmarks: "
            f"the head of model.name {model.name} needs at least as many channels, or some landmarks are never found.",
            ConfigWarning,
            stacklevel=3,
        )
