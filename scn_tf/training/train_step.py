"""What ``model.fit`` trains: a network with augmentation, targets, loss and a clipped step."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from scn_tf import models
from scn_tf.config import Config, TrainConfig
from scn_tf.environment import devices
from scn_tf.environment.backend import keras
from scn_tf.heatmaps import losses
from scn_tf.heatmaps.targets import GaussianTargets
from scn_tf.training.augment import augment
from scn_tf.types import Tensor, known


class Trainer(keras.Model):
    """A network with what only training needs: augmentation, target sigmas, the loss.

    Args:
        network: functional model, image to heatmaps.
        config: resolved :class:`scn_tf.config.Config`.
        exchange: (N,) counterparts of the landmarks in mirrored images, see :func:`scn_tf.training.augment.augment`.
    """

    def __init__(self, network: keras.Model, config: Config, exchange: Sequence[int] | None = None) -> None:
        super().__init__(name="trainer")
        self.exchange = None if exchange is None else tuple(exchange)
        self.network = network
        self.config = config
        self.targets = GaussianTargets(config.heatmap, network.output_shape[-1], network.output_shape[1:-1])
        self.cost_of_nothing = losses.cost_of_nothing(
            config.train.loss, config.heatmap.sigma, known(config.heatmap.gamma), network.output_shape[1:-1]
        )
        # Fixed sigmas have no term: it would be a constant, with low targets a hundred times the rest.
        terms = ("heatmap_loss", "sigma_loss") if self.targets.trainable_variables else ("heatmap_loss",)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("loss", *terms)}
        self.built = True

    @property
    def metrics(self) -> list[keras.Metric]:
        return list(self.trackers.values())

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        return self.network(images, training=training)

    def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images, landmarks, visible = batch["image"], batch["landmarks"], batch["visible"]
        replica = tf.distribute.get_replica_context()
        # One stream of draws per step and replica; samples differ inside a draw.
        position = tf.cast(self.optimizer.iterations, tf.int32) * replica.num_replicas_in_sync
        seed = tf.stack([self.config.train.seed, position + replica.replica_id_in_sync_group])
        images, landmarks, visible = augment(self.config.augment, images, landmarks, visible, seed=seed, exchange=self.exchange)
        with tf.GradientTape() as tape:
            terms = self.loss_terms(self.network(images, training=True), landmarks, visible)
            loss = sum(terms.values())
        variables = self.trainable_variables
        # Averaged before clipping, so that the norm is that of the whole batch's gradient; the
        # optimizer adds the replicas' gradients up again, hence the division.
        gradients = replica.all_reduce(tf.distribute.ReduceOp.MEAN, tape.gradient(loss, variables))
        gradients, _ = tf.clip_by_global_norm(gradients, self.config.train.clip_norm)
        self.optimizer.apply([g / replica.num_replicas_in_sync for g in gradients], variables)
        for name, tracker in self.trackers.items():
            tracker.update_state(loss if name == "loss" else terms[name])
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def loss_terms(self, predicted: Tensor, landmarks: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """The terms of the loss by name, scaled as configured."""
        config = self.config
        terms = {
            "heatmap_loss": losses.heatmap_loss(
                predicted, self.targets(landmarks), visible, kind=config.train.loss, peak=self.targets.peak()
            )
        }
        if self.targets.trainable_variables:
            terms["sigma_loss"] = self.targets.sigma_loss(visible)
        if config.train.loss_scale == "mean":
            terms = {name: value / (self.cost_of_nothing * predicted.shape[-1]) for name, value in terms.items()}
        factor = known(config.train.weight_decay)
        if factor > 0:
            kernels = [w for w in self.network.trainable_variables if w.path.endswith("kernel")]
            terms["weight_decay"] = losses.weight_decay(kernels, factor=factor)
        return terms

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Inside, the network has its averaged weights (``train.ema``), which are what is validated and kept."""
        if not self.config.train.ema or not int(keras.ops.convert_to_numpy(self.optimizer.iterations)):
            yield
            return
        own = [keras.ops.convert_to_numpy(variable) for variable in self.trainable_variables]
        self.optimizer.finalize_variable_values(self.trainable_variables)
        try:
            yield
        finally:
            for variable, value in zip(self.trainable_variables, own, strict=True):
                variable.assign(value)

    def state(self) -> list[keras.Variable]:
        """All variables that going on needs, in a fixed order."""
        network = [*self.network.variables, *_seed_states(self.network)]
        unique = {id(variable): variable for variable in (*network, *self.targets.variables, *self.optimizer.variables)}
        return list(unique.values())


def _seed_states(network: keras.Model) -> list[keras.Variable]:
    return [layer.seed_generator.state for layer in network.layers if hasattr(layer, "seed_generator")]


def build_optimizer(config: TrainConfig) -> keras.Optimizer:
    """Optimizer of a resolved :class:`scn_tf.config.TrainConfig`; it also keeps the averaged weights."""
    averaging = dict(use_ema=config.ema > 0, ema_momentum=config.ema)
    if config.optimizer == "nesterov":
        return keras.optimizers.SGD(config.learning_rate, momentum=0.99, nesterov=True, **averaging)
    return keras.optimizers.Adam(config.learning_rate, **averaging)


def build_trainer(config: Config, *, num_landmarks: int, channels: int, exchange: Sequence[int] | None = None) -> Trainer:
    """Compiled :class:`Trainer` with built optimizer, of a resolved configuration; ``exchange`` as there."""
    # Not 0: tf.data cannot combine a global seed of 0 with the tensor seed of an epoch's order.
    keras.utils.set_random_seed(1 + config.train.seed)
    with models.dtype_policy(devices.precision(config.train.precision)):
        network = models.from_config(config.model, landmarks=num_landmarks, channels=channels)
    trainer = Trainer(network, config, exchange)
    trainer.compile(optimizer=build_optimizer(config.train), jit_compile=config.train.compile == "xla")
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer
