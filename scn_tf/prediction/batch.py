"""Batches: very many images to partitioned Parquet, on the workers of a cluster. What is done survives a kill."""

import functools
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from scn_tf import predict
from scn_tf.data import coverage
from scn_tf.errors import ConfigError
from scn_tf.messages import visible
from scn_tf.prediction import cluster, listing, transform
from scn_tf.prediction.listing import Item
from scn_tf.prediction.parts import Parts
from scn_tf.prediction.tables import Written
from scn_tf.prediction.transform import Job, Partition
from scn_tf.types import PathName, Vector

SIZE = 100  # images of a partition
LOST = "ends every worker that reads it; it may need more memory than there is."


class Result(NamedTuple):
    """Result of :func:`predict_batch`. Fields:

    * ``found``: images with an answer, of this call and of earlier ones. ``failed``: images in the table of errors.
    * ``resumed``: images that were done earlier.
    * ``left_out``: files of a folder that are of no format that is read.
    """

    found: int
    failed: int
    resumed: int
    left_out: int


def predict_batch(
    model: PathName,
    given: str,
    out: str,
    *,
    scheduler: str | None = None,
    processes: int = 1,
    partition: int = SIZE,
    spacing: Vector | None = None,
    resume: bool = False,
    report: Callable[[str], None] = print,
    progress: Callable[[int, int], Callable[[int], object]] = lambda total, done: lambda count: None,
) -> Result:
    """Find the landmarks of very many images. Each has exactly one row, in the predictions or in the errors.

    Args:
        model: see :func:`scn_tf.predict.load`. All workers must find it by this path.
        given: images, see :func:`scn_tf.prediction.listing.read`.
        out: path or URL of a folder for Parquet files, see :mod:`scn_tf.prediction.parts`.
        scheduler, processes: see :func:`scn_tf.prediction.cluster.each`.
        partition: images of a file.
        spacing: see :meth:`scn_tf.predict.Predictor.predict`.
        resume: whether to continue an earlier call with the same images, model and spacing.
        report: receives one line per file that is left out.
        progress: is given the numbers of all images and of those already done; it returns a function that counts images.

    Returns:
        :class:`Result`.

    Raises:
        CheckpointError: see :func:`scn_tf.predict.load`; or a worker lacks the model.
        ConfigError: a number is less than 1, or the cluster does not answer.
        ImageError: see :func:`scn_tf.prediction.listing.read`.
        MissingExtra: a library of the extra ``batch`` is not installed.
        WriteError: a file cannot be written, or ``out`` holds other files.
    """
    for name, value in (("processes", processes), ("partition", partition)):
        if value < 1:
            raise ConfigError(f"`{name}`: expected at least 1, received {value}.")
    info, checksum = predict.read_info(model), predict.identity(model)
    coverage.warn_of_untrained(info.name, info.untrained)
    items, left_out = listing.read(given, dims=info.dims)
    for line in left_out:
        report(line)
    job = Job(str(model), checksum, out, None if spacing is None else tuple(float(one) for one in spacing))
    parts = Parts(out)
    stated = {"model": checksum, "images": _digest(items), "spacing": job.spacing, "landmarks": info.landmarks, "dims": info.dims}
    found, failed = parts.begin(stated, resume=resume)
    numbers, call = itertools.count(parts.following), functools.partial(transform.predict_partition, job)
    todo = [one for one in items if one.id not in found | failed]
    count, totals = progress(len(items), len(items) - len(todo)), Counter(found=len(found), failed=len(failed))

    def run(images: list[Item], size: int) -> list[Item]:
        """Do images in partitions of a size; returns those whose workers were killed again and again."""
        lost: list[Item] = []
        for task, result in cluster.each(call, _partitions(images, size, numbers), scheduler=scheduler, processes=processes):
            if result is None:
                lost += task.items
                continue
            totals.update(found=result[0], failed=result[1])
            count(len(task.items))
        return lost

    lost = run(todo, partition)
    for item in run(lost, 1) if lost else []:
        row = transform.error_row(item, f"{visible(item.source)}: {LOST}")
        transform.write(job, next(numbers), [], [row], Written(info.name, checksum, info.landmarks, info.dims, []))
        totals["failed"] += 1
        count(1)
    return Result(totals["found"], totals["failed"], len(items) - len(todo), len(left_out))


def _partitions(images: Sequence[Item], size: int, numbers: Iterator[int]) -> Iterator[Partition]:
    for start in range(0, len(images), size):
        yield Partition(next(numbers), tuple(images[start : start + size]))


def _digest(items: Iterable[Item]) -> str:
    """Digest of IDs and sources."""
    found = hashlib.sha256()
    for item in items:
        found.update(repr(tuple(item)).encode(errors="surrogateescape"))
    return found.hexdigest()
