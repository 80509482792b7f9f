"""The model for ``model.fit``: a network with its objective and a clipped step."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

import tensorflow as tf

from scn_tf import build, models
from scn_tf.config import Config, TrainConfig
from scn_tf.environment import devices
from scn_tf.environment.backend import keras
from scn_tf.heatmaps import losses
from scn_tf.training.keras_mend import Mended
from scn_tf.training.objective import Objective, Truth
from scn_tf.types import Sizes, Tensor, known


class Trainer(Mended):
    """A network with the parts that only training needs.

    Args:
        network: functional model, image to maps.
        objective: :class:`scn_tf.training.objective.Objective`, a Keras layer: augmentation, targets, loss.
        seed: of the augmentation.
        clip_norm: largest norm of the whole gradient.
        weight_decay: factor in the loss of half the sum of the squared kernels.
    """

    def __init__(self, network: keras.Model, objective: Objective, *, seed: int, clip_norm: float, weight_decay: float = 0.0) -> None:
        super().__init__(name="trainer")
        self.network, self.objective = network, objective
        self.seed, self.clip_norm, self.weight_decay = seed, clip_norm, weight_decay
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("loss", *objective.terms)}
        self.built = True

    @property
    def metrics(self) -> list[keras.Metric]:
        return list(self.trackers.values())

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        return self.network(images, training=training)

    def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        replica = tf.distribute.get_replica_context()
        # One stream of draws per step and replica; samples differ inside a draw.
        position = tf.cast(self.optimizer.iterations, tf.int32) * replica.num_replicas_in_sync
        seed = tf.stack([self.seed, position + replica.replica_id_in_sync_group])
        images, truth = self.objective.draw(batch, seed)
        with tf.GradientTape() as tape:
            terms = self.loss_terms(self.network(images, training=True), truth)
            loss = sum(terms.values())
            scale = self.optimizer.scale_loss(1.0)  # with float16, small gradients would vanish; else 1
            scaled = scale * loss
        variables = self.trainable_variables
        # Averaged before clipping, so that the norm is that of the whole batch's gradient; the
        # optimizer adds the replicas' gradients up again, and takes off the scale.
        # The losses too: callbacks of all processes must decide the same.
        shown = [loss if name == "loss" else terms[name] for name in self.trackers]
        means = replica.all_reduce(tf.distribute.ReduceOp.MEAN, [*tape.gradient(scaled, variables), *shown])
        gradients, _ = tf.clip_by_global_norm([g / scale for g in means[: len(variables)]], self.clip_norm)
        self.optimizer.apply([g * scale / replica.num_replicas_in_sync for g in gradients], variables)
        for tracker, value in zip(self.trackers.values(), means[len(variables) :], strict=True):
            tracker.update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def loss_terms(self, predicted: Tensor, truth: Truth) -> dict[str, Tensor]:
        """Terms of the loss by name, from the objective and the weight decay."""
        terms = self.objective.loss_terms(predicted, truth)
        if self.weight_decay > 0:
            kernels = [w for w in self.network.trainable_variables if w.path.endswith("kernel")]
            terms["weight_decay"] = losses.weight_decay(kernels, factor=self.weight_decay)
        return terms

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """In the block, the network has its averaged weights (``train.ema``), which are validated and kept.

        Keras' ``SwapEMAWeights`` leaves them in the network until the next epoch begins. A checkpoint at the end of an epoch would
        then hold them instead of the weights that training needs.
        """
        optimizer = known(getattr(self.optimizer, "inner_optimizer", self.optimizer))
        if not optimizer.use_ema or not int(keras.ops.convert_to_numpy(optimizer.iterations)):
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
        """All variables that resuming needs, in a fixed order."""
        network = [*self.network.variables, *_seed_states(self.network)]
        unique = {id(variable): variable for variable in (*network, *self.objective.variables, *self.optimizer.variables)}
        return list(unique.values())


def _seed_states(network: keras.Model) -> list[keras.Variable]:
    return [layer.seed_generator.state for layer in network.layers if hasattr(layer, "seed_generator")]


def build_optimizer(config: TrainConfig) -> keras.Optimizer:
    """Build the optimizer of a resolved :class:`scn_tf.config.TrainConfig`. It also keeps the averaged weights."""
    averaging = dict(use_ema=config.ema > 0, ema_momentum=config.ema)
    if config.optimizer == "nesterov":
        return keras.optimizers.SGD(config.learning_rate, momentum=0.99, nesterov=True, **averaging)
    return keras.optimizers.Adam(config.learning_rate, **averaging)


def build_trainer(config: Config, objective: Callable[[Config, int, Sizes], Objective], *, num_maps: int, channels: int) -> Trainer:
    """Build a compiled :class:`Trainer` with its optimizer, from a resolved configuration.

    Args:
        config: resolved configuration.
        objective: function of (config, number of maps, their size ([D,] H, W)), such as
            :func:`scn_tf.training.landmarks.landmark_objective`.
        num_maps: number of landmarks or labels.
        channels: of the images.
    """
    # Not 0: tf.data cannot combine a global seed of 0 with the tensor seed of an epoch's order.
    keras.utils.set_random_seed(1 + config.train.seed)
    with models.dtype_policy(devices.precision(config.train.precision)):
        network = build.from_config(config.model, num_maps=num_maps, channels=channels)
    train = config.train
    trainer = Trainer(
        network,
        objective(config, num_maps, network.output_shape[1:-1]),
        seed=train.seed,
        clip_norm=known(train.clip_norm),
        weight_decay=known(train.weight_decay),
    )
    optimizer = build_optimizer(train)
    if train.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    trainer.compile(optimizer=optimizer, jit_compile=train.compile == "xla")
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer
