"""IDs of images from their names in an annotation file."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from scn_tf.data.annotations.row import Annotations
from scn_tf.data.images.facts import ImageFacts
from scn_tf.data.images.formats import stem
from scn_tf.errors import DatasetError
from scn_tf.messages import short, visible

MAX_ID = 200  # characters


def identities(path: Path, images: Iterable[str]) -> dict[str, str]:
    r"""IDs of all images that an annotation file names.

    An ID is the stem of the file name: ``x/a.png`` and ``C:\x\a.png`` become ``a``. Images with equal stems get as many of their
    folders as differ: ``x/a.png`` and ``y/a.png`` become ``x_a`` and ``y_a``, ``a.png`` and ``a.jpg`` become ``a_png`` and
    ``a_jpg``. The same name given twice is one image.

    Args:
        path: of the annotation file, for messages.
        images: names or paths as the file writes them. Untrusted.

    Returns:
        name as written -> ID. An ID has no separators and no control characters.

    Raises:
        DatasetError: a name has no file name, or is longer than :data:`MAX_ID`, or two images have the same name.
    """
    names = list(dict.fromkeys(images))
    parts = {name: _parts(path, name) for name in names}
    found = {name: stem(parts[name][-1]) for name in names}
    for depth in range(1, max(map(len, parts.values()), default=0) + 1):
        counts = Counter(found.values())
        for name in names:
            if counts[found[name]] > 1:
                *folders, last = parts[name]
                found[name] = "_".join([*folders[max(0, len(folders) - depth) :], stem(last)])
    counts = Counter(found.values())
    for name in names:  # in one folder, with two endings
        if counts[found[name]] > 1:
            last = parts[name][-1]
            found[name] += last[len(stem(last)) :].replace(".", "_")
    owners: dict[str, str] = {}
    for name, image_id in found.items():
        if image_id in owners:
            raise DatasetError(
                f"{path}: the images {short(owners[image_id], 80)} and {short(name, 80)} have the same name. "
                "Give their files different names."
            )
        owners[image_id] = name
    return found


def identity(path: Path, image: str) -> str:
    """ID of the one image that a file names; see :func:`identities`."""
    return identities(path, [image])[image]


def _parts(path: Path, name: str) -> tuple[str, ...]:
    r"""Folders and file name of an image's path. A backslash separates, as Windows writes it."""
    parts = tuple(
        visible(part) for part in PurePosixPath(name.strip().replace("\\", "/")).parts if part not in ("/", "..") and part[-1] != ":"
    )
    if not parts or not stem(parts[-1]).strip(". ") or len(parts[-1]) > MAX_ID:
        raise DatasetError(f"{path}: expected the name of an image file, received {short(name, 80)}.")
    return parts


def of_file(path: Path, endings: Iterable[str]) -> str:
    """ID of the image of an annotation file that belongs to one image: its own name without ending. ``a.png.txt`` is of ``a``."""
    ending = next((ending for ending in sorted(endings, key=len, reverse=True) if path.name.lower().endswith(ending)), path.suffix)
    return identity(path, path.name[: len(path.name) - len(ending)])


def file_names(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> dict[str, str]:
    """Names of image files to write into an annotation file, from which :func:`identities` gives the same IDs.

    Args:
        path: of the file to write, for messages.
        annotations: of any frame.
        facts: image ID -> facts, as far as known.

    Returns:
        image ID -> name as the first file stated it, else the name of the image file, else the ID.
    """
    names = dict(annotations.images)
    for image_id in annotations.points:
        if image_id not in names:
            names[image_id] = facts[image_id].path.name if image_id in facts else image_id
    names = {image_id: names[image_id] for image_id in annotations.points}
    if _give(path, names):
        return names
    names = {image_id: name if _give(path, {image_id: name}) else image_id for image_id, name in names.items()}
    return names if _give(path, names) else {image_id: image_id for image_id in names}


def _give(path: Path, names: Mapping[str, str]) -> bool:
    try:
        return identities(path, names.values()) == {name: image_id for image_id, name in names.items()}
    except DatasetError:
        return False
