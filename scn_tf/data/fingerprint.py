"""Fingerprint of training data. A run keeps it, and it is compared when data and model are used together.

A moved or copied set keeps its fingerprint. Changed names, units, table, lists or images give another one.
"""

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from scn_tf.data.dataset import Dataset
from scn_tf.data.pixels import WHY
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.types import PathName

VERSION = 1
DECIMALS = 6  # of a coordinate: further ones are how a number was written
PART = 16384  # bytes at the start, in the middle and at the end of an image file
MEANING = ("dims", "channels")  # another one belongs to other weights
UNITS = ("coordinates", "spacing_mm", "normalization", "unit")
SPLITS = ("training", "validation")
SHOWN = 60  # characters of a value in a message

Fingerprint: TypeAlias = dict[str, Any]  # JSON, see :func:`fingerprint`


class Model(Protocol):
    """Facts of a model that are compared with data; :class:`scn_tf.runs.info.ModelInfo` has them."""

    @property
    def dims(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def landmarks(self) -> Sequence[str]: ...
    @property
    def coordinates(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def spacing_mm(self) -> Sequence[float] | None: ...
    @property
    def data(self) -> dict[str, Any] | None: ...  # of short()
    @property
    def needs_spacing(self) -> bool: ...


def fingerprint(
    dataset: Dataset, training_ids: list[str], validation_ids: list[str], files: Mapping[str, str] | None = None
) -> Fingerprint:
    """Fingerprint, JSON-like: the set's description, and digests of landmarks and image file for each ID of a split.

    Args:
        dataset: the data set.
        training_ids, validation_ids: IDs of both splits.
        files: digests of the image files by ID (:func:`of_image`), where other processes read some. None: all are read here.

    Raises:
        DatasetError: an image file cannot be read.
    """
    description = dataset.description
    return {
        "scn_tf": "fingerprint",
        "version": VERSION,
        "dims": description.dims,
        "channels": description.channels,
        "landmarks": list(description.names),
        "flip_pairs": [list(pair) for pair in description.flip_pairs],
        **_units(dataset),
        "training": {image_id: _digests(dataset, image_id, files) for image_id in training_ids},
        "validation": {image_id: _digests(dataset, image_id, files) for image_id in validation_ids},
    }


def short(found: Fingerprint) -> dict[str, Any]:
    """Short fingerprint for a model file: rule of mm, number of images and digest of each split."""
    counts = {split: {"images": len(found[split]), "digest": _split_digest(found[split])} for split in SPLITS}
    return {"normalization": found["normalization"], **counts}


def of_images(dataset: Dataset, ids: Sequence[str]) -> dict[str, Any]:
    """Fingerprint of some images: ``units``, and the ``digest`` that :func:`short` has of a split of the same images.

    Raises:
        DatasetError: an image file cannot be read.
    """
    return {"units": _units(dataset), "digest": _split_digest({image_id: _digests(dataset, image_id) for image_id in ids})}


def of_file(path: Path) -> str:
    """Digest of an image file as in :func:`fingerprint`, with the time of its last change: pixels between the digested parts count, too.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        times = [part.stat().st_mtime_ns for part in _parts(path)]
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    return f"{_file_digest(path)} {times}"


def of_model(model: Model) -> Fingerprint:
    """Fingerprint from a model's facts: names and units, but no single image. The rule of mm is included only if known."""
    rule = {} if model.data is None else {"normalization": model.data["normalization"]}
    return {
        "dims": model.dims,
        "channels": model.channels,
        "landmarks": list(model.landmarks),
        "coordinates": model.coordinates,
        "spacing_mm": None if model.spacing_mm is None else list(model.spacing_mm),
        "unit": model.unit,
        **rule,
    }


def changes(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Differences between two fingerprints, one sentence each, with the old and the new value."""
    found = _changed_names(before["landmarks"], now["landmarks"]) + _changed_units(before, now)
    if "flip_pairs" in before and before["flip_pairs"] != now["flip_pairs"]:  # older runs did not use them
        found.append(f"flip_pairs was {_shown(before['flip_pairs'])}, is {_shown(now['flip_pairs'])}")
    for split in SPLITS:
        found += _split_changes(split, before[split], now[split])
    return found


def check_meaning(before: Fingerprint, now: Fingerprint, where: PathName) -> None:
    """Raise :class:`DatasetError` if the weights belong to other data: order or number of landmarks, dimension or channels differ.

    A new name alone may be a corrected spelling. :func:`changes` reports it.

    Args:
        before: fingerprint, also one of :func:`of_model`.
        now: fingerprint of the data.
        where: place of the data, for the message.
    """
    for name in MEANING:
        if before[name] != now[name]:
            raise DatasetError(f"{where}: {name} was {before[name]} when this run was started, is {now[name]}: that is a new run.")
    old, new = before["landmarks"], now["landmarks"]
    if old == new or _only_named(old, new):
        return
    if len(old) != len(new):
        raise DatasetError(f"{where}: {len(old)} landmarks when this run was started, now {len(new)}: that is a new run.")
    moved = next((number for number in range(len(old)) if old[number] != new[number] and new[number] in old), None)
    if moved is not None:
        raise DatasetError(
            f"{where}: landmark {moved} was {old[moved]} when this run was started, is {new[moved]}, which was another one: the network's "
            "maps stay what they are. Put the names back, or start a new run."
        )


def changes_for_model(model: Model, now: Fingerprint) -> list[str]:
    """Like :func:`changes`, for the facts of a model, which has units but no single image."""
    before, data = of_model(model), model.data or {}
    found = _changed_names(before["landmarks"], now["landmarks"]) + _changed_units(before, now)
    for split, digest in short(now).items():
        if split in SPLITS and split in data and data[split] != digest:
            counts = f"{data[split]['images']} images before, {digest['images']} now"
            found.append(f"the {split} data (lists, landmarks or images) differ: {counts}")
    return found


def check_against_model(dataset: Dataset, model: Model) -> None:
    """Check that data and model have the same landmarks, dimension and channels.

    Units may differ. A warning names them, since errors and coordinates are in the units of the data.

    Raises:
        DatasetError: landmarks, dimension or channels differ.
    """
    _check_fits(dataset, model)
    now, known = _units(dataset), of_model(model)
    names = [name for name in UNITS if name in known and not _same(known[name], now[name])]
    found = [f"{name} {_shown(now[name])} (the model: {_shown(known[name])})" for name in names]
    if found:
        warnings.warn(
            f"{dataset.root / 'dataset.yaml'}: has other units than the training data of the model: {', '.join(found)}. "
            "Coordinates and errors are in those of this set.",
            DataWarning,
            stacklevel=3,
        )


def _check_fits(dataset: Dataset, model: Model) -> None:
    """Raise :class:`DatasetError` if a model does not fit the data.

    Reasons are another dimension, other landmarks or channels, or a pixel size that the model needs and the set does not state.

    If only one side names its landmarks, they are assumed to be in the same order.
    """
    description, found = dataset.description, list(model.landmarks)
    names, where = list(description.names), dataset.root / "dataset.yaml"
    if (description.dims, len(names)) != (model.dims, len(found)):
        raise DatasetError(
            f"{dataset.root}: {len(names)} landmarks in {description.dims}D, but the model finds {len(found)} in {model.dims}D."
        )
    if names != found and (set(names) == set(found) or not _only_named(names, found)):
        number, (own, other) = next((number, pair) for number, pair in enumerate(zip(names, found, strict=True)) if pair[0] != pair[1])
        raise DatasetError(f"{where}: landmark {number} is {own}, but the model's is {other}.")
    if description.channels != model.channels:
        raise DatasetError(f"{where}: channels {description.channels}, but the model takes images of {model.channels}.")
    if model.needs_spacing and not description.spacing_mm and not dataset.states_spacing:
        raise DatasetError(f"{where}: spacing_mm: is missing. {WHY}, and these images state no pixel size.")


def _units(dataset: Dataset) -> dict[str, Any]:
    description = dataset.description
    return {
        "coordinates": description.coordinates,
        "spacing_mm": None if description.spacing_mm is None else list(description.spacing_mm),
        "normalization": None if description.normalization is None else description.normalization.model_dump(mode="json"),
        "unit": dataset.unit,
    }


def _only_named(old: list[str], new: list[str]) -> bool:
    """Whether only one side names the landmarks and the other counts them."""
    return len(old) == len(new) and (_are_numbers(old) or _are_numbers(new))


def _are_numbers(names: list[str]) -> bool:
    return names == [str(number) for number in range(len(names))]


def _changed_names(old: list[str], new: list[str]) -> list[str]:
    if old == new or len(old) != len(new):
        return []
    if _only_named(old, new):  # names are welcome, but are not to be lost
        return [] if _are_numbers(old) else [f"landmarks had names ({_listed(old)}), have none"]
    pairs = enumerate(zip(old, new, strict=True))
    return [f"landmark {number} was {_shown(one)}, is {_shown(other)}" for number, (one, other) in pairs if one != other]


def _changed_units(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    units = [name for name in UNITS if name in before and not _same(before[name], now[name])]
    return [f"{name} was {_shown(before[name])}, is {_shown(now[name])}" for name in units]


def _split_changes(split: str, before: dict[str, list[str]], now: dict[str, list[str]]) -> list[str]:
    found = []
    gone, added = [i for i in before if i not in now], [i for i in now if i not in before]
    if gone or added:
        text = [f"without {_listed(gone)}"] * bool(gone) + [f"with {_listed(added)}"] * bool(added)
        found.append(f"{split} images: {len(before)} before, {len(now)} now ({' and '.join(text)})")
    both = [image_id for image_id in before if image_id in now]
    for number, what in enumerate(("landmarks", "image files")):
        if other := [image_id for image_id in both if before[image_id][number] != now[image_id][number]]:
            found.append(f"{what} of {len(other)} of {len(now)} {split} images differ ({_listed(other)})")
    return found


def _listed(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")


def _same(first: Any, second: Any) -> bool:
    if first is None or second is None or isinstance(first, str | dict):
        return first == second
    return len(first) == len(second) and bool(np.allclose(first, second, rtol=1e-9))


def _shown(value: object) -> str:
    text = str(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def of_image(dataset: Dataset, image_id: str) -> str:
    """Digest of an image's file, without the time of its last change.

    Raises:
        DatasetError: it cannot be read.
    """
    return _file_digest(Path(dataset.files[image_id]))


def _digests(dataset: Dataset, image_id: str, files: Mapping[str, str] | None = None) -> list[str]:
    content = _points(dataset, image_id)
    for name, rater in sorted(dataset.by_rater.items()):  # all of them, whichever is trained on
        content += name.encode() + _points(rater, image_id)
    return [_digest(content), of_image(dataset, image_id) if files is None else files.get(image_id, "")]


def _points(dataset: Dataset, image_id: str) -> bytes:
    rows = np.round(dataset.landmarks[image_id], DECIMALS) + 0.0  # no negative zero
    rows[np.isnan(rows)] = np.nan  # NaN has many bit patterns
    content, absent = rows.astype("<f8").tobytes(), dataset.absent[image_id]
    if absent.any():  # else the digest is that of runs that knew no absent landmarks
        content += np.packbits(absent).tobytes()
    return content


def _split_digest(digests: dict[str, list[str]]) -> str:
    return _digest(repr(sorted(digests.items())).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _file_digest(path: Path) -> str:
    """Digest of an image file's size and three parts. It includes the file of pixels beside a MetaImage header."""
    digest = hashlib.sha256()
    for part in _parts(path):
        try:
            with open(part, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest.update(str(size).encode())
                for start in sorted({0, max(0, size // 2 - PART // 2), max(0, size - PART)}):
                    file.seek(start)
                    digest.update(file.read(PART))
        except OSError as error:
            raise DatasetError(f"{part}: cannot be read ({error.strerror}).") from None
    return digest.hexdigest()[:16]


def _parts(path: Path) -> list[Path]:
    """Files of an image: one, the slices of a folder, or a MetaImage header with its pixels."""
    parts = sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
    if path.suffix.lower() == ".mhd":
        parts += [pixels for suffix in (".raw", ".zraw") if (pixels := path.with_suffix(suffix)).is_file()]
    return parts
