"""Processes for work that may crash a library or never end. That ends such a process alone, not the program.

A process runs a Python program that calls :func:`serve`. :func:`ask` keeps a few per program, which answer further requests.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar, cast

from scn_tf.environment import parent
from scn_tf.types import known

MAX_IDLE = 4  # per program
NOTHING: Mapping[str, str] = {}
READY = b"ready\n"
PIPE = 2**20  # bytes, where the system lets choose: long answers pass faster

Process: TypeAlias = "subprocess.Popen[bytes]"
T = TypeVar("T")

_idle: dict[str, list[Process]] = {}  # program -> processes that wait for a request
_lock = threading.Lock()


def ask(program: str, request: object, receive: Callable[[BufferedReader], T | None], *, seconds: float) -> T | None:
    """Answer of a process to a request.

    Args:
        program: Python code of the process, which ends with :func:`serve`.
        request: what JSON can hold.
        receive: reads one answer from the output of the process. It returns None, or raises a ValueError, if the answer ends early.
        seconds: time until the process is killed.

    Returns:
        The result of ``receive``; None if the process crashed or took too long. The next call starts another one.

    Raises:
        ChildProcessError: no process can be started, which is not the fault of what it was to read.
    """
    process, used_before = _taken(program, seconds)
    answer = asked(process, request, receive, seconds)
    if answer is None and used_before:  # a request before this one may have broken it
        process = started(program, seconds)
        answer = asked(process, request, receive, seconds)
    if answer is not None:
        _keep(program, process)
    return answer


def asked(process: Process, request: object, receive: Callable[[BufferedReader], T | None], seconds: float) -> T | None:
    """Answer of one process, see :func:`ask`. None if there is no answer; the process is then gone."""
    answer = None
    requests, answers = _pipes(process)
    try:
        with _watched(process, seconds):
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()
            answer = receive(answers)
        return answer
    except (OSError, ValueError):
        return None
    finally:  # after Ctrl-C too: half an answer may lie in the pipe
        if answer is None:
            process.kill()
            end(process)


def _pipes(process: Process) -> tuple[IO[bytes], BufferedReader]:
    """Input and output of a process, which are both pipes."""
    return known(process.stdin), cast(BufferedReader, process.stdout)


def _taken(program: str, seconds: float) -> tuple[Process, bool]:
    """Take a process that waits for a request. Returns it, and whether it was used before."""
    with _lock:
        waiting = _idle.get(program, [])
        while waiting:
            process = waiting.pop()
            if process.poll() is None:
                return process, True
            end(process)
    return started(program, seconds), False


def _keep(program: str, process: Process) -> None:
    """Keep a process for the next request, or end it where enough of them wait."""
    with _lock:
        waiting = _idle.setdefault(program, [])
        keep = len(waiting) < MAX_IDLE
        if keep:
            waiting.append(process)
    if not keep:
        end(process)


def started(program: str, seconds: float, environment: Mapping[str, str] = NOTHING) -> Process:
    """Start a process and wait for its first line.

    Args:
        program, seconds: see :func:`ask`.
        environment: variables that differ from those of this process.

    Raises:
        ChildProcessError: see :func:`ask`.
    """
    # The working folder may hold another scn_tf: this process' search path counts, and -P keeps the folder out of it.
    search_path = [str(Path(__file__).parents[2]), *sys.path[0 if sys.flags.safe_path else 1 :]]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the libraries' own lines name no file
            pipesize=PIPE,
            env={**os.environ, **environment, **parent.variables(), "PYTHONPATH": os.pathsep.join(filter(None, search_path))},
            start_new_session=True,  # Ctrl-C is for the process that asked
        )
    except OSError as error:
        raise ChildProcessError(f"{error.strerror or error}, so no process can be started") from None
    with _watched(process, seconds):
        ready = _pipes(process)[1].readline() == READY
    if not ready:
        end(process)
        raise ChildProcessError(f"its process does not start ({sys.executable} -P -c ...)")
    return process


@contextlib.contextmanager
def _watched(process: Process, seconds: float) -> Iterator[None]:
    """Kill a process that has not answered in time."""
    watch = threading.Timer(seconds, process.kill)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def end(process: Process) -> None:
    """Close the input of a process, which ends it, and wait for that."""
    for pipe in _pipes(process):
        with contextlib.suppress(OSError):  # a request that a killed process did not read cannot be flushed
            pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
        return
    process.kill()


@atexit.register
def _end_all() -> None:
    with _lock:
        for waiting in _idle.values():
            while waiting:
                end(waiting.pop())


def _forget_all() -> None:
    """Forget all processes in a forked child, since they belong to its parent."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def serve(answer: Callable[[Any], Iterable[bytes | memoryview]], memory: int | None) -> None:
    """Answer requests from standard input, one JSON text per line, until it ends. This is what the process runs.

    Args:
        answer: request -> the bytes of its answer, in parts. ``receive`` of :func:`ask` must see where it ends.
        memory: bytes of address space that this process may take. None: no limit.
    """
    parent.end_with_it(lambda: os._exit(1))  # without requests it ends anyway, but not in the middle of one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may run into the answers
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    answers.write(READY)
    answers.flush()
    for line in sys.stdin.buffer:
        answers.writelines(answer(json.loads(line)))  # keeps no part: the next request may come late, and parts may be gigabytes
        answers.flush()
