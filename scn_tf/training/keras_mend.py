"""What Keras 3 breaks if several processes train together, fixed in one place.

Keras' ``fit`` fails under ``MultiWorkerMirroredStrategy`` (https://github.com/keras-team/keras/issues/20585):

* ``_maybe_symbolic_build`` reduces the first batch over all workers, which fails for batches that lie on several devices. A model that
  is built needs no symbolic build.
* ``reduce_per_replica`` reduces the step's results over axis 0, which scalars do not have. Our train step averages them itself, so that
  those of the first local replica are those of all.

``tests/test_multi_worker.py`` fails when Keras works. Then this module can go.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from scn_tf.environment.backend import keras


class Mended(keras.Model):
    """Base of a built model whose ``train_step`` returns the same results on all replicas. Alone it is Keras' own model."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        if not _across_processes(self.distribute_strategy):
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    def make_train_function(self, force: bool = False) -> Callable[[Iterator[Any]], Mapping[str, tf.Tensor]]:
        """Keras' function that takes a step, or ours across processes."""
        strategy = self.distribute_strategy
        if not _across_processes(strategy):
            return super().make_train_function(force)

        @tf.function(reduce_retracing=True, jit_compile=self.jit_compile)
        def step(batch: Any) -> Mapping[str, tf.Tensor]:
            results = strategy.run(self.train_step, args=(batch,))
            return {name: strategy.experimental_local_results(value)[0] for name, value in results.items()}

        self.train_function = lambda iterator: step(next(iterator))
        return self.train_function


def _across_processes(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
