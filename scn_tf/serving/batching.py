"""Dynamic batching: one worker thread runs waiting requests together.

One thread suffices, since TensorFlow spreads one batch over all cores. Two batches at once would compete for them.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from scn_tf.serving.servable import Arrays, InputError, Signature

logger = logging.getLogger(__name__)


class QueueFull(Exception):
    """The queue is full; the client should retry later."""


class Job(NamedTuple):
    """Rows of one request that run in one piece.

    ``key``: jobs with equal keys can be joined. ``first``: number of its first row in the request, -1 for a request of one row.
    """

    key: tuple[object, ...]
    signature: Signature
    inputs: Arrays
    first: int
    rows: int
    pixels: int
    arrived: float
    future: Future[Arrays]


class Batcher:
    """A queue and its worker thread.

    Args:
        run: function (signature, inputs: array (B, ...) by name) -> array (B, ...) by output name. It raises InputError for invalid
            input.
        max_batch: most rows in a batch.
        max_pixels: most pixels in a batch. A single image with more runs alone.
        max_queue, max_queue_pixels: most waiting rows and pixels.
        wait: seconds that a single request waits for others to share its batch.
        observe: function that receives the number of rows of each finished batch.
    """

    def __init__(
        self,
        run: Callable[[Signature, Arrays], Arrays],
        *,
        max_batch: int,
        max_pixels: int,
        max_queue: int,
        max_queue_pixels: int,
        wait: float,
        observe: Callable[[int], object],
    ) -> None:
        self._run, self._observe = run, observe
        self._max_batch, self._max_pixels, self._wait = max_batch, max_pixels, wait
        self._max_queue, self._max_queue_pixels = max_queue, max_queue_pixels
        self._queue: list[Job] = []
        self._changed, self._closed = threading.Condition(), False
        # A daemon: a forced stop must not wait for a batch.
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the worker thread runs."""
        return self._thread.is_alive()

    def waiting(self) -> int:
        """Rows in the queue that were not cancelled."""
        with self._changed:
            return sum(job.rows for job in self._queue if not job.future.cancelled())

    def submit(self, signature: Signature, inputs: Arrays, pixels: Sequence[int]) -> list[Future[Arrays]]:
        """Queue the rows of a request.

        Args:
            signature: handed to ``run``.
            inputs: array (B, ...) by name.
            pixels: of each of the B rows.

        Returns:
            futures in the order of the rows, each of array (b, ...) by output name. A cancelled future is not run.

        Raises:
            QueueFull: the rows do not fit into the queue.
        """
        key = (signature.name, *((name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items())))
        jobs, start, now = [], 0, time.monotonic()
        for end in range(1, len(pixels) + 1):
            whole = end == len(pixels) or end - start == self._max_batch or sum(pixels[start : end + 1]) > self._max_pixels
            if whole:
                piece = {name: array[start:end] for name, array in inputs.items()}
                first = start if len(pixels) > 1 else -1
                jobs.append(Job(key, signature, piece, first, end - start, sum(pixels[start:end]), now, Future()))
                start = end
        with self._changed:
            self._queue = [job for job in self._queue if not job.future.cancelled()]
            rows, waiting = sum(job.rows for job in self._queue), sum(job.pixels for job in self._queue)
            if rows + len(pixels) > self._max_queue or (waiting and waiting + sum(pixels) > self._max_queue_pixels) or self._closed:
                raise QueueFull
            self._queue += jobs
            self._changed.notify()
        return [job.future for job in jobs]

    def close(self) -> None:
        """Run the waiting jobs, accept no more, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (jobs := self._take()) is not None:
            self._execute([job for job in jobs if job.future.set_running_or_notify_cancel()])

    def _take(self) -> list[Job] | None:
        """Wait for work. Returns the jobs of the next batch, oldest first, or None once the closed queue is empty."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if not self._queue:
                return None
            while not self._closed and not self._is_full() and (left := self._queue[0].arrived + self._wait - time.monotonic()) > 0:
                self._changed.wait(left)
            batch, _ = self._next()
            taken = set(map(id, batch))
            self._queue = [job for job in self._queue if id(job) not in taken]
            return batch

    def _is_full(self) -> bool:
        return not self._queue or self._next()[1]

    def _next(self) -> tuple[list[Job], bool]:
        """(the oldest job and those that can join it, in order; whether the batch is full)."""
        batch: list[Job] = []
        rows = pixels = 0
        for job in self._queue:
            if job.key != self._queue[0].key:
                continue
            if batch and (rows + job.rows > self._max_batch or pixels + job.pixels > self._max_pixels):
                return batch, True
            batch, rows, pixels = [*batch, job], rows + job.rows, pixels + job.pixels
        return batch, rows >= self._max_batch

    def _execute(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        try:
            joined = {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}
            outputs = self._run(jobs[0].signature, joined)
        except Exception as error:
            if not isinstance(error, InputError):
                logger.exception("a batch of %d requests failed", len(jobs))
            if len(jobs) == 1:
                jobs[0].future.set_exception(self._of_row(jobs[0], error))
                return
            # Whose input it was is known only when each runs alone; the others must not suffer.
            for job in jobs:
                self._execute([job])
        else:
            self._observe(sum(job.rows for job in jobs))
            start = 0
            for job in jobs:
                job.future.set_result({name: array[start : start + job.rows] for name, array in outputs.items()})
                start += job.rows

    def _of_row(self, job: Job, error: Exception) -> Exception:
        """The error with its row number, which a graph does not report."""
        if not isinstance(error, InputError) or job.first < 0:
            return error
        for row in range(job.rows):
            try:
                self._run(job.signature, {name: array[row : row + 1] for name, array in job.inputs.items()})
            except InputError as own:
                name, _, rest = str(own).partition(": ")
                name, rest = (name, rest) if name in job.inputs else (min(job.inputs), str(own))
                return InputError(f"{name}[{job.first + row}]: {rest}")
            except Exception as other:  # memory that ran out only now
                return other
        return error
