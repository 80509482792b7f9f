"""What makes a training fast on this machine: precision, XLA, threads. Measured once, then kept on disk.

The measurement is a training step of a network of usual size (:mod:`scn_tf.training.trial`) in a process of its own. So nothing of it
stays in this one, a failure ends it alone, and another number of threads can be tried. What is kept belongs to one processor, number of
cores, GPUs and version. A file that is missing, damaged or of another machine is measured again, and one that cannot be written is
measured in every long training.
"""

import contextlib
import datetime
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
import tensorflow as tf

from scn_tf import __version__
from scn_tf.environment import devices, parent, processors
from scn_tf.errors import WriteError
from scn_tf.storage import caches, documents, files, ownership

XLA = "+xla"  # ending of a variant
LONG = 600.0  # seconds of a training that is worth a measurement, which takes about 15
STEP = {"CPU": 1e-7, "GPU": 5e-9}  # seconds of a training step for each image, pixel and filter, about
FASTER = 1.1  # times as fast, from which another variant than the plain one is taken
LIMIT = 45  # seconds of a process that measures
PROGRAM = "scn_tf.training.trial"


class Measured(pydantic.BaseModel):
    """Seconds of a training step.

    Attributes:
        machine: what they belong to, see :func:`machine`.
        date: of the measurement.
        steps: by variant: a precision, with ``+xla`` if the step was compiled.
        threads: by number of threads, where hyper-threads leave a choice.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    machine: dict[str, Any]
    date: datetime.date
    steps: dict[str, pydantic.PositiveFloat]
    threads: dict[int, pydantic.PositiveFloat]


class Speed(NamedTuple):
    """What was decided.

    Attributes:
        precision: Keras dtype policy name.
        compiled: ``"xla"`` if the training step is compiled, else ``"off"``.
        line: what is printed at the start of a training.
    """

    precision: str
    compiled: str
    line: str


def decide(precision: str, compiled: str, dims: int, *, seconds: float, alone: bool = True) -> Speed:
    """Decide what the settings leave to the machine. This may take 15 seconds of processor time, once on a machine.

    Args:
        precision, compiled: values of ``train.precision`` and ``train.compile``; all but ``auto`` are kept.
        dims: of the images, 2 or 3.
        seconds: expected length of the training, see :func:`expected_seconds`. A short one measures nothing, but uses what is kept.
        alone: whether one device trains. XLA was not measured with several.
    """
    gpu = devices.kind() == "GPU"
    undecided = precision == "auto" or (compiled == "auto" and gpu and alone) or bool(_thread_counts())
    found = measured(dims, measure=seconds >= LONG) if undecided else None
    policy, why = _precision(precision, found)
    compiled, how = _compiled(compiled, policy, found if alone else None, gpu=gpu)
    threads, nodes = use_threads(found), processors.memory_nodes()
    parts = [f"{policy}, {why}", files.counted(threads, "thread"), how]
    if nodes > 1:
        parts.append(f"{nodes} memory nodes, to none of which it is bound")
    end = ""
    if found is not None:
        kept = f"kept in {caches.folder('speed')}" if _read(_file(dims), machine(dims)) else "which cannot be kept"
        end = f" (measured on {found.date}, {kept})"
    elif undecided and _variants()[1:]:
        end = " (not measured, the training is too short)" if seconds < LONG else " (the measurement failed)"
    return Speed(policy, compiled, f"Speed    {'; '.join(parts)}{end}")


def expected_seconds(*, minutes: float | None, epochs: int, images: int, pixels: int, filters: int) -> float:
    """Expected length of a training, roughly: its time, or less if its epochs take less."""
    steps = STEP[devices.kind()] * pixels * filters * images * epochs
    return steps if minutes is None else min(steps, 60 * minutes)


def measured(dims: int, *, measure: bool) -> Measured | None:
    """What is kept of this machine. None if there is nothing, or if the machine leaves no choice.

    Args:
        dims: 2 or 3.
        measure: whether to measure if nothing is kept.
    """
    if not (_variants()[1:] or _thread_counts()):
        return None
    found = _read(_file(dims), machine(dims))
    if found is not None or not measure:
        return found
    found = _measured(dims)
    if found is not None:
        with contextlib.suppress(WriteError):
            files.write_text(_file(dims), found.model_dump_json(indent=1) + "\n", ours=ownership.anything)
    return found


def kept() -> Measured | None:
    """What is kept of this machine, for any number of dimensions, where the number of threads depends on it."""
    return (measured(2, measure=False) or measured(3, measure=False)) if _thread_counts() else None


def precision(name: str, dims: int, *, measure: bool = False) -> str:
    """Keras dtype policy name of a value of ``train.precision``."""
    return _precision(name, measured(dims, measure=measure) if name == "auto" else None)[0]


def machine(dims: int) -> dict[str, Any]:
    """What a measurement belongs to, as JSON has it."""
    gpus = [tf.config.experimental.get_device_details(gpu).get("device_name", "") for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "dims": dims,
        "processor": processors.name(),
        "cores": [processors.count_cores(), processors.physical_cores()],
        "threads": processors.stated_threads(),
        "kernels": os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""),
        "variants": _variants(),
        "gpus": gpus,
        "versions": [tf.__version__, __version__],
    }


def use_threads(found: Measured | None = None) -> int:
    """Let TensorFlow use the number of threads that was fastest. Once it has computed, the number stays. Returns the number in use."""
    stated = processors.stated_threads()
    if stated is not None:
        return stated
    now = tf.config.threading.get_intra_op_parallelism_threads() or len(processors.numbers())
    if found is None or not found.threads:
        return now
    most = max(found.threads)
    fastest = min(found.threads, key=lambda one: found.threads[one])
    count = fastest if found.threads[fastest] * FASTER <= found.threads[most] else most
    if count != now:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(count)
        except RuntimeError:
            return now
    return count


def _precision(name: str, found: Measured | None) -> tuple[str, str]:
    """Policy, and why."""
    if name != "auto":
        return name, "as set"
    able = devices.precision("auto")
    if able == "float32":
        return able, "since nothing faster is known here"
    if found is None:
        return able, "which is usually faster here"
    if able not in found.steps:
        return "float32", f"since {able} cannot be computed"
    times = found.steps["float32"] / found.steps[able]
    if times >= FASTER:
        return able, f"{times:.1f} times as fast as float32"
    return "float32", f"since {able} is {times:.2f} times as fast"


def _compiled(name: str, policy: str, found: Measured | None, *, gpu: bool) -> tuple[str, str]:
    """Whether to compile, and why."""
    if name != "auto":
        return name, "XLA, as set" if name == "xla" else "no XLA, as set"
    if not gpu:
        return "off", "no XLA on a CPU"
    if found is None or not {policy, policy + XLA} <= set(found.steps):
        return "off", "no XLA, which was not measured"
    times = found.steps[policy] / found.steps[policy + XLA]
    return ("xla", f"XLA, {times:.1f} times as fast") if times >= FASTER else ("off", f"no XLA, which is {times:.2f} times as fast")


def _variants() -> list[str]:
    """Variants to choose from, the plain one first."""
    able = devices.precision("auto")
    found = list(dict.fromkeys(["float32", able]))
    return [*found, able + XLA] if devices.kind() == "GPU" else found


def _thread_counts() -> list[int]:
    """Numbers of threads to choose from, if there are several: one for each core that the system counts, or for each physical one."""
    cores, physical = processors.count_cores(), processors.physical_cores()
    free = devices.kind() == "CPU" and processors.stated_threads() is None
    return [cores, physical] if free and physical < cores else []


def _measured(dims: int) -> Measured | None:
    """Measure. None if that fails."""
    steps = _steps(dims, _variants())
    if "float32" not in steps:
        return None
    fastest = min(steps, key=lambda one: steps[one])
    tried = {count: _steps(dims, [fastest], threads=count) for count in _thread_counts()}
    threads = {count: seconds[fastest] for count, seconds in tried.items() if fastest in seconds}
    return Measured(machine=machine(dims), date=datetime.date.today(), steps=steps, threads=threads)


def _steps(dims: int, variants: Sequence[str], *, threads: int | None = None) -> dict[str, float]:
    """Seconds of a training step by variant, without those that failed. Measured by another process."""
    search_path = [str(Path(__file__).parents[2]), *sys.path[0 if sys.flags.safe_path else 1 :]]
    environment = {**os.environ, **parent.variables(), "PYTHONPATH": os.pathsep.join(filter(None, search_path))}
    environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # this process may hold most of the GPU's memory
    if threads is not None:
        environment[processors.VARIABLE] = str(threads)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", PROGRAM, str(dims), *variants],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=LIMIT,
            check=True,
        )
        return {str(name): float(seconds) for name, seconds in json.loads(done.stdout.splitlines()[-1]).items()}
    except (OSError, ValueError, IndexError, AttributeError, subprocess.SubprocessError):
        return {}


def _file(dims: int) -> Path:
    """File of this machine. A home folder may serve several machines."""
    text = json.dumps(machine(dims), sort_keys=True)
    return caches.folder("speed") / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def _read(path: Path, belongs_to: dict[str, Any]) -> Measured | None:
    """What a file holds. None if it cannot be read, or is of another machine."""
    try:
        found = Measured.model_validate_json(documents.read_text(path, most=documents.MAX_BYTES))
    except ValueError:
        return None
    return found if "float32" in found.steps and found.machine == belongs_to else None
