"""The row of a kind of launch files, and what all kinds need."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scn_tf.runs.folder import RunFolder

TEMPLATES = Path(__file__).parent / "templates"
CORES = 8  # of a worker
RESTARTS = 3  # of all workers, after one was lost


class Launch(NamedTuple):
    """A training by several workers.

    Attributes:
        options: words of the command line of ``scn-tf train``, without those for several workers and for resuming.
        run_dir: folder of the run, as in ``options``.
        workers: number of them.
        hosts: of the workers, the chief's first; ``USER@HOST`` is allowed. For kinds that start them by name.
        gpus: of each worker.
        image: container image with scn_tf.
        claim: persistent volume claim with data set and run, of Kubernetes.
    """

    options: tuple[str, ...]
    run_dir: str
    workers: int = 2
    hosts: tuple[str, ...] = ()
    gpus: int = 0
    image: str = "scn-tf:latest"
    claim: str = "scn-tf"

    @property
    def name(self) -> str:
        """Name of the job, after the run."""
        return job_name(Path(self.run_dir).name, longest=40)  # a pod's name is longer, and has at most 63 characters


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of cluster.

    Attributes:
        name: as typed after ``scn-tf deploy``.
        description: a few words for the help.
        files: function of :class:`Launch` -> text by name of the file.
        start: command that starts the training in the folder of the files.
        uses: names of the optional attributes of :class:`Launch` that it needs.
        rank: place in lists.
    """

    name: str
    description: str
    files: Callable[[Launch], Mapping[str, str]]
    start: str
    uses: tuple[str, ...]
    rank: int = 100


def job_name(text: str, *, longest: int) -> str:
    """``scn-tf-`` and a text, in characters that names of jobs may have."""
    return f"scn-tf-{re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-') or 'run'}"[:longest].rstrip("-")


def filled(template: str, launch: Launch, **values: object) -> str:
    """Text of a template with its values: those of the launch, and others. A line whose only value is empty is left out."""
    known = {
        "name": launch.name,
        "workers": launch.workers,
        "cores": CORES,
        "restarts": RESTARTS,
        "settings": shlex.quote(str(RunFolder(Path(launch.run_dir)).settings)),
        "train": shlex.join(["scn-tf", "train", *launch.options, "--train.strategy", "multi_worker"]),
        **values,
    }
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for name, value in known.items():
        text = re.sub(rf"^@{name}@\n", f"{value}\n" if value else "", text, flags=re.M).replace(f"@{name}@", str(value))
    return text
