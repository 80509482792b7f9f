"""Files of the sources: everything in files and folders, within limits."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from scn_tf.data import images
from scn_tf.data.description import read_description
from scn_tf.data.images.collect import MAX_DEPTH, Source, distinct_ids
from scn_tf.errors import DatasetError, ImageError
from scn_tf.messages import visible

MAX_FILES = 200_000
DESCRIPTION, IMAGES = "dataset.yaml", "images"


class Found(NamedTuple):
    """Files of the sources.

    Attributes:
        roots: the sources themselves.
        files: all regular files, hidden ones excepted, in order.
        skipped: folders that were not searched, each with the reason.
    """

    roots: list[Path]
    files: list[Path]
    skipped: dict[Path, str]

    def named(self, path: Path) -> bool:
        """Whether a file is itself a source, and was not found in a folder."""
        return path in self.roots

    def contains(self, path: Path) -> bool:
        """Whether a path lies in no skipped folder."""
        return not any(path.is_relative_to(folder) for folder in self.skipped)


def search(paths: Iterable[str | os.PathLike[str]]) -> Found:
    """Find all files of files and folders. Links to folders are not followed, so that no cycle can be entered.

    Raises:
        DatasetError: a path does not exist, or there are too many files.
    """
    given = [Path(path) for path in paths]
    for root in given:
        if not os.path.exists(root):
            raise DatasetError(f"{visible(str(root))}: no such file or folder.")
    roots = [part for root in given for part in _of_data_set(root) or [root]]
    found = Found(roots, [], {})
    for root in roots:
        if root.is_dir():
            _search(root, found, MAX_DEPTH)
        else:
            found.files.append(root)
    return found._replace(files=list(dict.fromkeys(found.files)))


def _of_data_set(root: Path) -> list[Path]:
    """Images and annotations of a data set; empty for other sources. Its further folders, such as label maps, are no source."""
    if not os.path.isfile(root / DESCRIPTION):
        return []
    table = root / read_description(root / DESCRIPTION).only_table
    if not os.path.exists(table):
        raise DatasetError(f"{visible(str(table))}: no such file; {DESCRIPTION} names it as the annotations of the data set.")
    return [table, *([root / IMAGES] if os.path.isdir(root / IMAGES) else [])]


def _search(folder: Path, found: Found, depth: int) -> None:
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        found.skipped[folder] = f"cannot be read ({error.strerror})"
        return
    for path in inside:
        if path.is_dir():
            if path.is_symlink() or not depth:
                found.skipped[path] = "a link to a folder" if path.is_symlink() else "too deep"
            elif (path / DESCRIPTION).is_file():
                found.skipped[path] = "a data set of its own; name it itself to use it"
            else:
                _search(path, found, depth - 1)
        elif path.is_file():  # no pipe, which would never answer
            found.files.append(path)
        if len(found.files) > MAX_FILES:
            raise DatasetError(f"{visible(str(found.roots[0]))}: more than {MAX_FILES:,} files. Name the folders that hold the data.")


def image_sources(found: Found, *, dims: int, without: Iterable[Path] = ()) -> tuple[list[Source], list[str]]:
    """Images of the sources with distinct IDs, and one line per file whose format is not read.

    Args:
        found: files of the sources.
        dims: 2 or 3. For volumes, a folder of DICOM slices is one image.
        without: files that are annotations, such as label maps.
    """
    places = [root for root in found.roots if root.is_dir() or images.is_image(root)]
    try:
        collected, left_out = images.collect(places, dims=dims) if places else ([], [])
    except ImageError:
        return [], []
    other = set(without)
    paths = [source.path for source in collected if source.path not in other and found.contains(source.path)]
    told = {visible(str(path)) for path in (*other, *found.skipped)}  # by others, or read after all: an archive of selections
    left_out = [line for line in left_out if line.rpartition(": ")[0] not in told]
    return [Source(*pair) for pair in zip(image_ids(paths), paths, strict=True)], left_out


def image_ids(paths: Sequence[Path]) -> list[str]:
    """Distinct IDs without blanks at their ends, which no table keeps, and without a leading dot, which hides a file."""
    return distinct([re.sub(r"[/\\\\]", "_", name).strip().lstrip(".") or "image" for name in distinct_ids(list(paths))])


def distinct(names: Iterable[str]) -> list[str]:
    """Names with a number behind those that occurred before: ``a, a`` -> ``a, a_2``."""
    taken: dict[str, None] = {}
    for name in names:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken[candidate] = None
    return list(taken)
