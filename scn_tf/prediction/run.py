"""Predictions of many image files into a table, with pictures and files of other tools. What is done survives a kill."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from scn_tf import measurements, predict
from scn_tf.data import coverage, images
from scn_tf.data.images import Source, Unpacked
from scn_tf.data.images.dicom import series
from scn_tf.errors import ConfigError
from scn_tf.predict import Predictor
from scn_tf.prediction import answers, processes, streaming, tables
from scn_tf.prediction import outputs as beside
from scn_tf.prediction import review as reviews
from scn_tf.prediction.answers import Answer
from scn_tf.prediction.doubts import Doubts, check_calibrated
from scn_tf.prediction.outputs import NOTHING, Outputs
from scn_tf.prediction.review import Review
from scn_tf.prediction.tables import Found, Written
from scn_tf.runs.info import ModelInfo
from scn_tf.storage import files, journal, ownership
from scn_tf.storage.journal import Journal
from scn_tf.types import PathName, Vector

Find: TypeAlias = Callable[[list[Source | None]], Generator[Answer, None, None]]  # images, None: done -> answers of the others


class Result(NamedTuple):
    """Result of :func:`predict_files`.

    Attributes:
        found: number of images in the table; ``resumed`` of them were done earlier, ``left_out`` more could not be read.
        landmarks: number of landmarks.
        coordinates: of the points, ``"pixel"`` or ``"physical"``.
        table: file of a format with one file for all images.
        measurements: table of the measurements, if the model has any and ``out`` is CSV.
        doubts: line about the answers of a calibrated model: unit of the errors, numbers of doubtful points and images.
        review: line about the images that need a human most, if they were asked for.
    """

    found: int
    landmarks: int
    resumed: int
    left_out: int
    coordinates: str
    table: Path | None
    measurements: Path | None
    doubts: str | None
    review: str | None


def predict_files(
    model: PathName,
    paths: Sequence[PathName],
    out: Path,
    *,
    outputs: Outputs = NOTHING,
    review: Review | None = None,
    spacing: Vector | None = None,
    processes: int = 1,
    resume: bool = False,
    report: Callable[[str], None] = print,
    progress: Callable[[int, int], Callable[[int], object]] = lambda total, done: lambda count: None,
) -> Result:
    """Find the landmarks of many image files.

    Args:
        model: see :func:`scn_tf.predict.load`.
        paths: image files, folders, and zip files of images.
        out: table to write, ``.csv`` or ``.json``.
        outputs: what else to write.
        review: where to show the images that need a human most. It is written at the end, of all images of the table.
        spacing: (d,) mm per pixel of the files, see :meth:`scn_tf.predict.Predictor.predict`.
        processes: number of processes, each with its own model. They share the processor's cores and the GPUs.
        resume: whether to keep what an earlier call with the same ``out`` found.
        report: receives one line per image that is left out.
        progress: is given the numbers of all images and of those already done; it returns a function that counts images.

    Returns:
        :class:`Result`. The table is written after an interruption, too.

    Raises:
        CheckpointError: see :func:`scn_tf.predict.load`; or there is a ``review``, and the model is not calibrated.
        ConfigError: there are no ``processes``, or one does not start.
        ImageError: a path does not exist, or holds no images.
        WriteError: a file cannot be written, or the earlier call had another model or other options.
    """
    files.check_writable(out)
    paths = images.check_exist(paths)
    info, find, opened = _opened(model, outputs, spacing, processes)
    checksum = predict.identity(model)
    if review is not None:
        check_calibrated(model, info)
    with contextlib.ExitStack() as stack:
        unpacked = stack.enter_context(images.unpacked(paths))
        sources, unread = images.collect(unpacked.paths, dims=info.dims, unpacked=unpacked.ids) if unpacked.paths else ([], [])
        left_out = [*unpacked.left_out, *map(unpacked.shown, unread)]
        measured = out.with_name(f"{out.stem}.measurements.csv") if info.measurements and out.suffix.lower() == ".csv" else None
        if measured is not None:
            files.check_writable(measured)
        beside.check(outputs, [source.id for source in sources], out)
        if review is not None:
            reviews.check(review, outputs, [source.id for source in sources], out)
        keys = [_key(source, unpacked) for source in sources]
        log = stack.enter_context(Journal(journal.path_for(out), _header(checksum, outputs, spacing), resume=resume))
        for line in left_out:
            report(line)
        work = Work(info, find, opened, dict(zip(keys, sources, strict=True)), log, outputs, measured, spacing, unpacked, left_out, report)
        done = {key for key, source in work.sources.items() if _is_done(log, key, source, outputs)}
        about = Written(info.name, checksum, info.landmarks, info.dims, left_out)
        try:
            _predict(work, done, progress(len(sources), len(done)))
        except BaseException:  # Ctrl-C, a full disk
            with contextlib.suppress(OSError):
                _write_tables(work, out, about)
            raise
        found, table, doubts = _write_tables(work, out, about)
        _remove_outdated(work, out, about, found)
        shown = None if review is None else _review(work, review)
    return Result(found, len(info.landmarks), len(done), len(left_out), info.coordinates, table, measured if found else None, doubts, shown)


class Work(NamedTuple):
    """What a call works with: see :func:`predict_files`. ``sources``: key in the journal -> image, in order."""

    info: ModelInfo
    find: Find
    opened: Callable[[], Predictor]
    sources: dict[str, Source]
    log: Journal
    outputs: Outputs
    measured: Path | None
    spacing: Vector | None
    unpacked: Unpacked
    left_out: list[str]
    report: Callable[[str], None]


def _opened(model: PathName, outputs: Outputs, spacing: Vector | None, count: int) -> tuple[ModelInfo, Find, Callable[[], Predictor]]:
    """(facts of a model, function that finds landmarks in one or several processes, function that opens the model in this one)."""
    if count < 1:
        raise ConfigError(f"`processes`: expected at least 1, received {count}.")
    if count == 1:
        predictor = predict.load(model)
        return predictor.info, functools.partial(answers.find, predictor, outputs=outputs, spacing=spacing), lambda: predictor
    info, work = predict.read_info(model), processes.Work(model, outputs, spacing)
    coverage.warn_of_untrained(info.name, info.untrained)
    batch = streaming.batch_size(info.image_size)
    return info, functools.partial(processes.find, work, processes=count, batch=batch), lambda: predict.load(model)


def _predict(work: Work, done: set[str], count: Callable[[int], object]) -> None:
    """Predict what is not done."""
    todo = [None if key in done else source for key, source in work.sources.items()]
    keys = {source: key for key, source in work.sources.items()}
    with contextlib.closing(work.find(todo)) as found:
        for answer in found:
            if answer.record is None:
                work.left_out.append(work.unpacked.shown(images.shown(answer.error)))
                work.report(work.left_out[-1])
            else:
                work.log.append([{"key": keys[answer.source], **answer.record}])
            count(1)


def _write_tables(work: Work, out: Path, about: Written) -> tuple[int, Path | None, str | None]:
    """Write all tables from the journal, if there is anything to write.

    Returns:
        (number of images, file of a format with one file for all images, line about doubtful answers).
    """
    count = sum(key in work.log.places for key in work.sources)
    if not count:
        return 0, None, None
    doubts = Doubts(about.names)
    tables.write(out, doubts.watch(_found(work)), about, work.unpacked.origin)
    if work.measured is not None:
        measurements.write_table(work.measured, ((one.id, one.measurements) for one in _found(work)))
    return count, beside.write_table(work.outputs, _found(work), about.names), doubts.text()


def _found(work: Work) -> Iterator[Found]:
    """All predictions of the journal, one after the other."""
    for key, source in work.sources.items():
        if key in work.log.places:
            yield tables.restored(work.log.record(key), source.path, source.series)


def _review(work: Work, review: Review) -> str:
    predictor = work.opened()
    return reviews.write(
        review, _found(work), predictor.locate, predictor.info, work.spacing, lambda line: work.report(work.unpacked.shown(line))
    )


def _remove_outdated(work: Work, out: Path, about: Written, found: int) -> None:
    """Remove from finished work the answers of an earlier call with the same ``out``, which would be taken for those of this one."""
    if not found and out.exists():
        tables.write(out, [], about)
    beside_out = out.with_name(f"{out.stem}.measurements.csv")
    if not (found and work.measured) and out.suffix.lower() == ".csv" and measurements.is_table(beside_out):
        beside_out.unlink()
    table = work.outputs.table()
    if not found and table is not None and table.is_file() and ownership.is_ours(table):
        table.unlink()


def _header(checksum: str, outputs: Outputs, spacing: Vector | None) -> dict[str, Any]:
    """What a resumed call must share. The names are those of the command's options."""
    return {
        "model": checksum,
        "spacing": None if spacing is None else [float(one) for one in spacing],
        "overlay": _digest(outputs.overlay and os.path.abspath(outputs.overlay)),
        "to": outputs.format and outputs.format.name,
        "to_dir": _digest(outputs.folder and os.path.abspath(outputs.folder)),
    }


def _digest(*parts: object) -> str | None:
    """Digest of paths, which a hidden file should not reveal."""
    if parts == (None,):
        return None
    return hashlib.sha256("\0".join(map(str, parts)).encode(errors="surrogateescape")).hexdigest()[:32]


def _key(source: Source, unpacked: Unpacked) -> str:
    """Identity of an image: its place, name, and the sizes and times of its files."""
    return str(_digest(unpacked.origin(source.path), source.series, source.id, *_stamps(unpacked.file(source.path))))


def _stamps(path: Path) -> Iterable[object]:
    try:
        for file in _files_of(path):
            status = file.stat()
            yield from (file.name, status.st_size, status.st_mtime_ns)
    except OSError:  # reading it will report what is wrong
        yield "unreadable"


def _files_of(path: Path) -> list[Path]:
    """Files of an image: the DICOM files of a folder (the table may be there, too), or a header with the files of its stem."""
    if path.is_dir():
        return series.dicom_files(path)
    headers = tuple(ending for row in images.IMAGE_FORMATS.values() for ending in row.headers)
    if not path.name.lower().endswith(headers):
        return [path]
    return sorted(one for one in path.parent.iterdir() if one.name.startswith(f"{images.stem(path)}.") and one.is_file())


def _is_done(log: Journal, key: str, source: Source, outputs: Outputs) -> bool:
    return key in log.places and all(os.path.exists(path) for path in outputs.of_image(source.id))
