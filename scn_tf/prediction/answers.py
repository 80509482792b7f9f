"""From images to answers: records of JSON values. One process, several and a cluster all call :func:`find`."""

import contextlib
import itertools
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from scn_tf.data.images import Source
from scn_tf.data.images.facts import facts as facts_of
from scn_tf.errors import DatasetError
from scn_tf.predict import Predictor
from scn_tf.prediction import outputs as beside
from scn_tf.prediction import tables
from scn_tf.prediction.outputs import Outputs
from scn_tf.prediction.streaming import Outcome, stream
from scn_tf.types import Vector


class Answer(NamedTuple):
    """What one image gave: a record of :func:`scn_tf.prediction.tables.record`, or the reason why there is none."""

    source: Source
    record: dict[str, Any] | None
    error: str | None = None


def find(
    predictor: Predictor,
    sources: Sequence[Source | None],
    *,
    outputs: Outputs = beside.NOTHING,
    spacing: Vector | None = None,
    readers: int | None = None,
) -> Generator[Answer, None, None]:
    """Find the landmarks of images, and write the files of each image.

    Args:
        predictor: the opened model.
        sources: images. None stands for an image that is done.
        outputs: files to write. An image has an answer after its files are there.
        spacing: see :meth:`scn_tf.predict.Predictor.predict`.
        readers: threads that read. None: by the number of processor cores.

    Yields:
        answers in the order of ``sources``.

    Raises:
        WriteError: a file cannot be written.
    """
    keep = outputs.overlay is not None
    running = stream(predictor.locate, predictor.info, sources, spacing=spacing, keep_pixels=keep, readers=readers)
    with contextlib.closing(running) as batches:
        for outcome in itertools.chain.from_iterable(batches):
            yield _answer(outcome, outputs)


def _answer(outcome: Outcome, outputs: Outputs) -> Answer:
    source, prediction = outcome.source, outcome.prediction
    if prediction is None:
        return Answer(source, None, outcome.error)
    facts = facts_of(source.path, prediction.image)._replace(series=source.series)
    record = tables.record(source.id, prediction, facts)
    try:
        beside.write(outputs, tables.restored(record, source.path, source.series), prediction)
    except DatasetError as error:  # a format cannot hold the points
        return Answer(source, None, str(error))
    return Answer(source, record)
