"""Processes that train together: their strategy, what the chief tells the others, and their end if one is lost.

All of them call the same functions in the same order. The first worker is the chief: it alone decides and writes. A process that
has not joined others is its own chief.
"""

import contextlib
import faulthandler
import io
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np
import tensorflow as tf

from scn_tf.environment import cluster
from scn_tf.errors import ConfigError, WorkerError
from scn_tf.presence import known
from scn_tf.types import Array

T = TypeVar("T")
TIMEOUT = 600  # seconds until all workers must have come; SCN_TF_TIMEOUT
EVERY, MISSES = 2.0, 4  # seconds between two looks at the others; looks in vain before one is lost
SOON = 0.2  # seconds between two looks before all have come
SMALL, LARGE = 2**8, 2**18  # numbers in a packet: collectives need sizes that all workers know


class _Group:
    """This process among the others.

    Args:
        found: :class:`scn_tf.environment.cluster.Cluster`.
        timeout: seconds until all processes must have TensorFlow ready.
    """

    def __init__(self, found: cluster.Cluster, timeout: float) -> None:
        self.cluster, self.ended = found, threading.Event()
        self.watch = threading.Thread(target=self._watch, daemon=True)
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(found.addresses)}),
            task_type="worker",
            task_id=found.rank,
            num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
            rpc_layer="grpc",
        )
        handler = signal.getsignal(signal.SIGTERM)
        # TensorFlow waits for all without end, and no other thread of Python runs meanwhile. This ends the process if one is lost now.
        faulthandler.dump_traceback_later(timeout, exit=True, file=known(sys.__stderr__))
        self.strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        faulthandler.cancel_dump_traceback_later()
        self.watch.start()
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)  # TensorFlow's own handler only tells its coordination service
        self._sum = tf.function(lambda packet: self.strategy.run(self._of_first_replicas, args=[packet]))

    def sum(self, numbers: Array) -> Array:
        """Sum over all workers of int32 numbers, which are as many on each."""
        return self.strategy.experimental_local_results(self._sum(tf.constant(numbers)))[0].numpy()

    def _of_first_replicas(self, packet: tf.Tensor) -> tf.Tensor:
        """Sum over all replicas, in which only the first one of each worker has numbers."""
        replica, own = tf.distribute.get_replica_context(), self.strategy.num_replicas_in_sync // len(self.cluster.addresses)
        first = tf.equal(replica.replica_id_in_sync_group % own, 0)
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, packet, tf.zeros_like(packet)))

    def _watch(self) -> None:
        """End this process if another does not answer any more. Waiting for it would never end."""
        missed = dict.fromkeys(_others(self.cluster), 0)
        while not self.ended.wait(EVERY):
            for rank in missed:
                address = self.cluster.addresses[rank]
                missed[rank] = 0 if _answers(address) else missed[rank] + 1
                if missed[rank] == MISSES and not self.ended.is_set():
                    _end(f"worker {rank} ({address}) does not answer any more. Its own output says why. {AGAIN}")


AGAIN = "Start all workers again with `resume` to continue from the last checkpoint."
_group: _Group | None = None


def join() -> None:
    """Join the processes that the environment names (:mod:`scn_tf.environment.cluster`). TensorFlow must not have computed yet.

    Raises:
        ConfigError: the environment names none, or this process cannot listen on its own address.
        WorkerError: another process does not come.
    """
    global _group
    if _group is not None:
        return
    found = cluster.find()
    if len(found.addresses) == 1:
        return
    timeout = _timeout()
    _wait_for_all(found, timeout)
    try:
        _group = _Group(found, timeout)
    except (RuntimeError, tf.errors.OpError) as error:
        raise ConfigError(
            f"train.strategy: multi_worker cannot start worker {found.rank} ({found.addresses[found.rank]}): {str(error)[:300]}"
        ) from None


def strategy() -> tf.distribute.Strategy | None:
    """Strategy of the joined workers. None if this process is alone."""
    return _group and _group.strategy


def number() -> int:
    """Number of workers."""
    return len(_group.cluster.addresses) if _group else 1


def rank() -> int:
    """Rank of this worker, from 0."""
    return _group.cluster.rank if _group else 0


def is_chief() -> bool:
    """Whether this process decides and writes."""
    return rank() == 0


def from_chief(make: Callable[[], T]) -> T:
    """Result of a function that the chief alone calls. The others receive it as JSON, tuples as lists, when the chief has it."""
    if _group is None:
        return make()
    if is_chief():
        made = make()
        _broadcast(json.dumps(made, default=float).encode())
        return made
    received: T = json.loads(_broadcast(b""))
    return received


def gather(arrays: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Arrays by name of every worker, in the order of their ranks. Each may have other sizes."""
    if _group is None:
        return [dict(arrays)]
    file, values = io.BytesIO(), dict[str, Any](arrays)
    np.savez(file, **values)
    found = []
    for source in range(number()):
        with np.load(io.BytesIO(_broadcast(file.getvalue(), source)), allow_pickle=False) as archive:
            found.append({name: archive[name] for name in archive.files})
    return found


def total(array: Array) -> Array:
    """Sum of an array over all workers."""
    return np.sum([part["array"] for part in gather({"array": array})], axis=0)


def share(variables: Iterable[Any]) -> None:
    """Give the variables of all workers the chief's values."""
    if _group is None:
        return
    for variable in variables:
        value = np.asarray(variable)
        variable.assign(np.frombuffer(_broadcast(value.tobytes()), value.dtype).reshape(value.shape))


def _broadcast(data: bytes, source: int = 0) -> bytes:
    """The bytes of the worker of rank ``source``. Those of the others are ignored."""
    data = data if rank() == source else b""
    head = SMALL * 4 - 8
    first = _summed(len(data).to_bytes(8, "little") + data[:head], SMALL)
    length, parts = int.from_bytes(first[:8], "little"), [first[8:]]
    for start in range(head, length, LARGE * 4):
        parts.append(_summed(data[start : start + LARGE * 4], LARGE))
    return b"".join(parts)[:length]


def _summed(data: bytes, size: int) -> bytes:
    """Sum over all workers of bytes as ``size`` int32 numbers. All but one worker have zeros."""
    assert _group is not None
    return _group.sum(np.frombuffer(data.ljust(size * 4, b"\0"), np.int32)).tobytes()


def leave() -> None:
    """Wait for all workers, and stop to watch them: from now on they may end, and none waits for another."""
    if _group is None or _group.ended.is_set():
        return
    from_chief(lambda: None)
    _group.ended.set()


@contextlib.contextmanager
def lost_workers_named() -> Iterator[None]:
    """In the block, a failure of TensorFlow because another worker is lost ends with the watch's message.

    Raises:
        WorkerError: TensorFlow failed while workers trained together, and all others answer.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if _group is None or _group.ended.is_set():
            raise
        _group.watch.join(timeout=3 * EVERY * MISSES)
        raise WorkerError(f"The workers cannot train together any more: {str(error)[:300]} {AGAIN}") from None


def _wait_for_all(found: cluster.Cluster, timeout: float) -> None:
    """Wait until all other processes listen, and let them know of this one meanwhile.

    Raises:
        ConfigError: another program has this process's port.
        WorkerError: a process does not come in time.
    """
    last, missing, own = time.monotonic() + timeout, set(_others(found)), found.addresses[found.rank]
    with contextlib.ExitStack() as stack:
        listener: socket.socket | None = None
        while missing or listener is None:
            late = time.monotonic() > last
            if listener is None:
                try:  # an earlier process of this place may need a while to end
                    listener = stack.enter_context(_listener(own))
                except OSError as error:
                    if late:
                        raise ConfigError(f"worker {found.rank} ({own}): cannot listen there ({error.strerror or error}).") from None
            else:
                with contextlib.suppress(BlockingIOError):
                    while True:  # whoever has asked has its answer
                        listener.accept()[0].close()
            missing -= {rank for rank in missing if _answers(found.addresses[rank])}
            if missing and late:
                names = ", ".join(f"worker {rank} ({found.addresses[rank]})" for rank in sorted(missing))
                raise WorkerError(f"{names} did not come within {timeout:g} seconds (SCN_TF_TIMEOUT). Was it started?")
            time.sleep(SOON)


def _listener(address: str) -> socket.socket:
    """Socket that listens at the port of an address."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    found = socket.create_server(("", int(address.rsplit(":", 1)[1])), family=family, dualstack_ipv6=dual, backlog=1024)
    found.setblocking(False)
    return found


def _others(found: cluster.Cluster) -> list[int]:
    """Ranks of the other processes."""
    return [rank for rank in range(len(found.addresses)) if rank != found.rank]


def _answers(address: str) -> bool:
    """Whether a process listens at an address."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=EVERY):
            return True
    except OSError:
        return False


def _end(message: str) -> NoReturn:
    """End the process from a thread, whatever its others wait for. Files are written whole, so that nothing is lost."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(1)


def _timeout() -> float:
    """Seconds until all workers must have come."""
    text = os.environ.get("SCN_TF_TIMEOUT") or str(TIMEOUT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e7:
        raise ConfigError(f"SCN_TF_TIMEOUT: expected seconds above 0, received {text[:40]!r}.")
    return seconds
