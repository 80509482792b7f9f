"""Workers of a Dask cluster. A killed worker is replaced, and another one repeats what it did."""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from scn_tf.data.stores import EXTRA
from scn_tf.environment import cores
from scn_tf.environment.extras import needs_extra
from scn_tf.errors import ConfigError
from scn_tf.storage.files import first_line

UNDER_WAY = 1000  # tasks that the scheduler knows at a time
RETRIES = 1  # after an error, such as a store that was away

T = TypeVar("T")
R = TypeVar("R")


def each(
    function: Callable[[T], R], tasks: Iterable[T], *, scheduler: str | None, processes: int
) -> Generator[tuple[T, R | None], None, None]:
    """Call a function for each task on the workers of a cluster.

    Args:
        function: of a module that the workers can import.
        tasks: few are taken ahead.
        scheduler: address of a cluster, such as ``tcp://host:8786``. None: one of this machine, for the time of the call.
        processes: number of workers of a cluster of this machine. They share the processor's cores.

    Yields:
        (task, result) as they come; the result is None if every worker that took the task was killed.

    Raises:
        ConfigError: the cluster does not answer, or it ends.
        Error: the function raised it.
        MissingExtra: the library is not installed.
    """
    with needs_extra("batch", "distributed", EXTRA):
        import distributed
    waiting = iter(tasks)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(stack, scheduler, processes))
        futures = {client.submit(function, task, pure=False, retries=RETRIES): task for task in itertools.islice(waiting, UNDER_WAY)}
        running = distributed.as_completed(list(futures))
        for future in running:
            task = futures.pop(future)
            for following in itertools.islice(waiting, 1):
                added = client.submit(function, following, pure=False, retries=RETRIES)
                futures[added] = following
                running.add(added)
            try:
                yield task, future.result()
            except distributed.KilledWorker:
                yield task, None
            except CancelledError:
                raise ConfigError("`scheduler`: the cluster has ended. `resume` continues with what is left.") from None


def _client(stack: contextlib.ExitStack, scheduler: str | None, processes: int) -> Any:
    import dask
    import distributed

    try:
        if scheduler is not None:
            return distributed.Client(scheduler)
        threads = cores.threads_of_each(processes)
        # Dask would give up a worker whose successor needs longer to start than this, and then wait forever for another.
        stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}))
        cluster = distributed.LocalCluster(
            n_workers=processes, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0, env=cores.variables(threads)
        )
        return distributed.Client(stack.enter_context(cluster))
    except (OSError, ValueError, RuntimeError) as error:  # OSError: its time is over
        raise ConfigError(f"`scheduler`: no cluster at {scheduler or 'this machine'} ({first_line(error)}).") from None
