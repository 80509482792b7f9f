"""What a worker of a batch does: images of one partition to rows, and those to two Parquet files."""

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from scn_tf import predict
from scn_tf.data import images, stores
from scn_tf.data.images import Source
from scn_tf.errors import CheckpointError, ImageError
from scn_tf.messages import visible
from scn_tf.predict import Predictor
from scn_tf.prediction import answers, tables
from scn_tf.prediction.listing import Item
from scn_tf.prediction.parts import Parts
from scn_tf.prediction.tables import Written
from scn_tf.types import Vector

FETCHES = 8  # files of a store at a time


class Job(NamedTuple):
    """What all partitions share. Fields:

    * ``model``: see :func:`scn_tf.predict.load`. A worker opens it by this path.
    * ``checksum``: of the model.
    * ``out``: path or URL of the folder of Parquet files.
    * ``spacing``: see :meth:`scn_tf.predict.Predictor.predict`.
    """

    model: str
    checksum: str
    out: str
    spacing: Vector | None = None


class Partition(NamedTuple):
    """Images that are written together, and the number of their files."""

    number: int
    items: tuple[Item, ...]


def predict_partition(job: Job, partition: Partition) -> tuple[int, int]:
    """Find the landmarks of a partition and write its files, unless they are there.

    A cluster calls it again if the worker is killed before the result was taken.

    Returns:
        numbers of images with and without an answer.

    Raises:
        CheckpointError: the worker lacks the model, or has another one of this path.
        WriteError: a file cannot be written.
    """
    if (counts := Parts(job.out).counts(partition.number)) is not None:
        return counts
    predictor = _opened(job.model, job.checksum)
    info, by_id = predictor.info, {one.id: one for one in partition.items}
    about = Written(info.name, job.checksum, info.landmarks, info.dims, [])
    rows: list[dict[str, Any]] = []
    with _fetched(partition.items) as (sources, errors):
        for answer in answers.find(predictor, sources, spacing=job.spacing):
            item = by_id[answer.source.id]
            if answer.record is None:
                reason = images.shown(answer.error).replace(images.shown(answer.source.path), visible(item.source))
                errors.append(error_row(item, reason))
            else:
                rows.append(_row(answer.record, answer.source, item, about))
    write(job, partition.number, rows, errors, about)
    return len(rows), len(errors)


def write(job: Job, number: int, rows: list[dict[str, Any]], errors: list[dict[str, Any]], about: Written) -> None:
    """Write the files of a partition; see :meth:`scn_tf.prediction.parts.Parts.write`."""
    stated = {"model": about.model, "model_sha256": about.checksum}
    Parts(job.out).write(number, rows, errors, dims=about.dims, about=stated)


def error_row(item: Item, reason: str) -> dict[str, Any]:
    """Row of an image without an answer."""
    return {"id": item.id, "source": visible(item.source), "error": reason}


def _row(record: dict[str, Any], source: Source, item: Item, about: Written) -> dict[str, Any]:
    """Row of an image: its object of a JSON table, and where it came from."""
    found = tables.image_as_json(tables.restored(record, source.path, source.series), about)
    measured = [{"name": name, **values} for name, values in found.get("measurements", {}).items()]
    return {**found, "source": visible(item.source), "series": item.series, "measurements": measured}


_models: dict[tuple[str, str], Predictor] = {}
_lock = threading.Lock()


def _opened(model: str, checksum: str) -> Predictor:
    """The model, which a worker opens once. Threads of a worker share it."""
    with _lock:
        if (model, checksum) not in _models:
            if predict.identity(model) != checksum:
                raise CheckpointError(f"{model}: is another model on a worker than where the batch was started.")
            _models.clear()
            _models[model, checksum] = predict.load(model)
        return _models[model, checksum]


@contextlib.contextmanager
def _fetched(items: tuple[Item, ...]) -> Iterator[tuple[list[Source], list[dict[str, Any]]]]:
    """In the block, the images are files of this machine: (those that could be fetched, rows of errors of the others).

    Fetched files are named by number. No ID or URL becomes a path.
    """
    with tempfile.TemporaryDirectory(prefix="scn_tf-") as folder, ThreadPoolExecutor(FETCHES) as pool:

        def fetch(number: int, item: Item) -> Source | dict[str, Any]:
            if stores.is_local(item.source):
                return Source(item.id, Path(stores.absolute(item.source)), item.series)
            name = PurePosixPath(item.source).name
            target = Path(folder) / f"{number}{name[len(images.stem(name)) :]}"
            try:
                stores.fetch(item.source, target)
            except ImageError as error:
                return error_row(item, str(error))
            return Source(item.id, target)

        found = list(pool.map(fetch, range(len(items)), items))
        yield [one for one in found if isinstance(one, Source)], [one for one in found if isinstance(one, dict)]
