"""Predictions in several processes of this machine. Each opens the model once; a killed one is replaced, and its images are done again.

Memory does not grow with the number of images: a process holds what a single one would, and answers are small.
"""

import contextlib
import functools
import json
import queue
import traceback
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from scn_tf import errors, predict
from scn_tf.data import workers
from scn_tf.data.images import Source, shown
from scn_tf.data.workers import Process
from scn_tf.environment import cores, devices
from scn_tf.errors import ConfigError, DataWarning, Error
from scn_tf.prediction import answers
from scn_tf.prediction import outputs as beside
from scn_tf.prediction.answers import Answer
from scn_tf.prediction.outputs import Outputs
from scn_tf.storage.files import counted
from scn_tf.types import PathName, Vector

PROGRAM = """
from scn_tf.environment.lean import import_tensorflow
import_tensorflow()
from scn_tf.prediction.processes import serve
serve()
"""
BATCHES = 4  # of a request: few, since the images of a killed process are done again
TRIES = 2  # for the images of a request together; then each is tried alone
SECONDS = 600  # for an image, as for reading one
AHEAD = 2  # requests per process that are under way


class Work(NamedTuple):
    """What the processes do.

    Attributes:
        model: see :func:`scn_tf.predict.load`.
        outputs, spacing: see :func:`scn_tf.prediction.answers.find`.
    """

    model: PathName
    outputs: Outputs = beside.NOTHING
    spacing: Vector | None = None


class Reply(NamedTuple):
    """What a process says: answers and warnings, or an error with the name of its class."""

    answers: list[list[Any]]  # [record or null, error or null] of each image
    warnings: list[str]
    error: str | None = None
    kind: str | None = None


def find(work: Work, sources: Sequence[Source | None], *, processes: int, batch: int) -> Generator[Answer, None, None]:
    """Find the landmarks of images in several processes; see :func:`scn_tf.prediction.answers.find`.

    Args:
        work: model, outputs and spacing.
        sources: images. None stands for an image that is done.
        processes: number of processes. They share the processor's cores and the GPUs.
        batch: images per batch of the network, which are those of a single process.

    Yields:
        answers in the order of ``sources``.

    Raises:
        ConfigError: a process does not start.
        Error: see :func:`scn_tf.predict.load` and :func:`scn_tf.prediction.answers.find`.
    """
    size = batch * min(BATCHES, max(1, len(sources) // (batch * processes)))
    requests = iter(sources[start : start + size] for start in range(0, len(sources), size))
    waiting: deque[Future[list[Answer]]] = deque()
    with ThreadPoolExecutor(processes, "scn-tf-ask") as threads, contextlib.closing(_Crew(work, processes, threads)) as crew:
        while True:
            while len(waiting) < AHEAD * processes and (request := next(requests, None)) is not None:
                if any(request):
                    waiting.append(threads.submit(crew.ask, request))
            if not waiting:
                return
            yield from waiting.popleft().result()


class _Crew:
    """Processes that start when they are first needed. Each answers one request at a time, for one of the threads."""

    def __init__(self, work: Work, count: int, threads: ThreadPoolExecutor) -> None:
        overlay, format_row, folder = (work.outputs.overlay, work.outputs.format, work.outputs.folder)
        cores_each = cores.threads_of_each(count)
        self._common = {
            "model": str(work.model),
            "spacing": None if work.spacing is None else [float(one) for one in work.spacing],
            "outputs": [overlay and str(overlay), format_row and format_row.name, folder and str(folder)],
            "readers": cores_each,
        }
        self._environments = [{**cores.variables(cores_each), **devices.of_process(number)} for number in range(count)]
        self._threads, self._closed = threads, False
        self._running: dict[int, Process] = {}
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(count):
            self._free.put(number)

    def close(self) -> None:
        """End all processes, whatever they do."""
        self._closed = True
        for process in list(self._running.values()):
            process.kill()
        self._threads.shutdown(cancel_futures=True)  # a thread may still read from its process
        for process in self._running.values():
            workers.end(process)

    def ask(self, sources: Sequence[Source | None]) -> list[Answer]:
        """Answers for the images of a request, from the next process that is free."""
        number = self._free.get()
        try:
            for _ in range(TRIES):
                found = self._asked(number, sources)
                if found is not None:
                    return found
            return [self._alone(number, sources, one) for one in sources if one is not None]
        finally:
            self._free.put(number)

    def _alone(self, number: int, sources: Sequence[Source | None], one: Source) -> Answer:
        """Answer for one image, at its place in the same batch."""
        found = self._asked(number, [one if source is one else None for source in sources])
        lost = f"{shown(one.path)}: ends every process that reads it; it may need more memory than there is."
        return found[0] if found else Answer(one, None, lost)

    def _asked(self, number: int, sources: Sequence[Source | None]) -> list[Answer] | None:
        """Answers of a process. None if it ended without; empty if the caller has stopped."""
        if self._closed:
            return []
        todo = [one for one in sources if one is not None]
        images = [None if one is None else [one.id, str(one.path), one.series] for one in sources]
        process = self._process(number)
        reply = workers.asked(process, {**self._common, "images": images}, _received, SECONDS * (1 + len(todo)))
        if reply is None:
            del self._running[number]
            if not self._closed:
                warnings.warn(_lost(process, todo), DataWarning, stacklevel=2)
            return None
        for text in reply.warnings:
            warnings.warn(text, DataWarning, stacklevel=2)
        if reply.error is not None:
            raise getattr(errors, reply.kind or "", RuntimeError)(reply.error)
        return [Answer(source, *one) for source, one in zip(todo, reply.answers, strict=True)]

    def _process(self, number: int) -> Process:
        if number not in self._running:
            try:
                self._running[number] = workers.started(PROGRAM, SECONDS, self._environments[number])
            except ChildProcessError as error:
                raise ConfigError(f"`processes`: {error}; choose fewer if the machine lacks memory.") from None
        if self._closed:  # meanwhile
            self._running[number].kill()
        return self._running[number]


def _lost(process: Process, todo: list[Source]) -> str:
    """A warning about a process that ended."""
    status = process.wait()
    how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    again = "is done again" if len(todo) == 1 else "are done again"
    return f"one of the `processes` ended without an answer ({how}); {counted(len(todo), 'image')} from {shown(todo[0].path)} on {again}."


def _received(stream: BufferedReader) -> Reply:
    return Reply(**json.loads(stream.readline()))


def serve() -> None:
    """Answer requests from standard input until it ends. This is what a process runs."""
    workers.serve(lambda request: [json.dumps(_reply(request)._asdict()).encode() + b"\n"], None)


def _reply(request: dict[str, Any]) -> Reply:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", DataWarning)
        try:
            found = [[answer.record, answer.error] for answer in _found(request)]
        except Error as error:
            return Reply([], [], str(error), type(error).__name__)
        except Exception:  # a fault of ours, which the process that asked should show
            return Reply([], [], traceback.format_exc())
    return Reply(found, [str(one.message) for one in caught if issubclass(one.category, DataWarning)])


def _found(request: dict[str, Any]) -> Iterator[Answer]:
    overlay, name, folder = request["outputs"]
    outputs = beside.chosen(overlay and Path(overlay), name, folder and Path(folder))
    sources = [None if one is None else Source(one[0], Path(one[1]), one[2]) for one in request["images"]]
    return answers.find(_opened(request["model"]), sources, outputs=outputs, spacing=request["spacing"], readers=request["readers"])


@functools.cache
def _opened(model: str) -> predict.Predictor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the process that asked has warned
        return predict.load(model)
