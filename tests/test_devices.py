import pytest
import tensorflow as tf

from scn_tf.environment import devices


@pytest.mark.parametrize(("batch_size", "mirrored"), [(4, True), (2, False)])
def test_several_gpus_share_batches_that_they_can_share(batch_size, mirrored, monkeypatch):
    """There is one processor here: its devices are told to be GPUs, and the strategy is not asked to find them."""
    gpus = [tf.config.LogicalDevice(f"/GPU:{number}", "GPU") for number in range(4)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus if kind == "GPU" else [])
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: ("mirrored", *names))
    found = devices.strategy("auto", batch_size)
    assert (found == ("mirrored", "/GPU:0", "/GPU:1", "/GPU:2", "/GPU:3")) == mirrored
