"""Images in a list of files and folders, and their IDs."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from scn_tf.data.images.dicom.series import dicom_files
from scn_tf.data.images.formats import IMAGE_FORMATS, is_image, shown, stem
from scn_tf.errors import ImageError

# Formats of pictures that people have, and that are not read.
UNREAD_PICTURES = (".gif", ".webp", ".heic", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".pdf", ".czi", ".nd2", ".svs")
UNREAD = (*UNREAD_PICTURES, ".mnc", ".mgz", ".mgh", ".img", ".rec", ".ima", ".dicom")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
MAX_DEPTH = 32  # of folders in folders


class Source(NamedTuple):
    """One image: its ID, and the file or the folder of its DICOM series."""

    id: str
    path: Path


def collect(paths: Iterable[str | os.PathLike[str]], *, dims: int) -> tuple[list[Source], list[str]]:
    """Find the images of files and folders, including nested folders, in order.

    For volumes, a folder of DICOM slices is one image.

    Args:
        paths: files and folders.
        dims: 2 or 3, as the model expects.

    Returns:
        (sources with distinct IDs, one line per file that was left out because its format is not read).

    Raises:
        ImageError: a path does not exist, or there is no image.
    """
    paths = check_exist(paths)
    found: list[Path] = []
    left_out: list[str] = []
    for path in paths:
        if path.is_dir():
            _search(path, dims, found, left_out, MAX_DEPTH)
        else:
            found.append(path)
    found = list(dict.fromkeys(found))
    if not found and not left_out:
        raise ImageError(f"{', '.join(map(shown, paths))}: no images there.")
    return [Source(*pair) for pair in zip(distinct_ids(found), found, strict=True)], left_out


def check_exist(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the paths, all of which must exist.

    Raises:
        ImageError: a path does not exist.
    """
    found = [Path(path) for path in paths]
    for path in found:
        if not path.exists():
            raise ImageError(f"{shown(path)}: no such file or folder.")
    return found


def _search(folder: Path, dims: int, found: list[Path], left_out: list[str], depth: int) -> None:
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        left_out.append(f"{shown(folder)}: cannot be looked into ({error.strerror}).")
        return
    headers = tuple(ending for row in IMAGE_FORMATS.values() for ending in row.headers)
    named = tuple(f"{stem(path)}." for path in inside if path.name.lower().endswith(headers))
    slices = set(_slices(folder)) if dims == 3 else set()
    if slices:
        found.append(folder)
    for path in inside:
        if path.is_dir():
            if depth and not path.is_symlink():
                _search(path, dims, found, left_out, depth - 1)
            else:
                left_out.append(f"{shown(path)}: not searched, a link to a folder or too deep.")
        elif path in slices or path.name.upper() == "DICOMDIR":
            continue
        elif is_image(path):
            found.append(path)
        elif path.name.startswith(named):
            continue
        elif path.name.lower().endswith(UNREAD):
            left_out.append(f"{shown(path)}: left out, of a format that is not read.")
        elif path.name.lower().endswith(ARCHIVES):
            left_out.append(f"{shown(path)}: left out, an archive; unpack it first.")


def _slices(folder: Path) -> list[Path]:
    """DICOM files of a folder that hold one slice each. Files with several frames are volumes by themselves."""
    found = []
    for path in dicom_files(folder):
        from scn_tf.data.images.dicom.file import open_file  # pydicom takes a third of a second, and most folders hold none

        if path.name.upper() == "DICOMDIR":
            continue
        try:
            frames = int(open_file(path, headers=True).get("NumberOfFrames") or 1)
        except (ImageError, TypeError, ValueError):  # reading it will report what is wrong
            frames = 1
        if frames == 1:
            found.append(path)
    return found


def distinct_ids(paths: list[Path]) -> list[str]:
    """One ID per path: its stem, or its whole name if another file has the same stem.

    Parent folders are prepended until all IDs differ.
    """
    absolute = [path.absolute() for path in paths]
    lasts = [path.name if path.is_dir() else stem(path) for path in absolute]
    beside = Counter((path.parent, last) for path, last in zip(absolute, lasts, strict=True))
    parts = [
        [*map(shown, path.parts[1:-1]), shown(path.name if beside[path.parent, last] > 1 else last)]
        for path, last in zip(absolute, lasts, strict=True)
    ]
    whole = ["_".join(part) for part in parts]
    depth = [1] * len(paths)
    while True:
        names = ["_".join(part[-count:]) for part, count in zip(parts, depth, strict=True)]
        apart: defaultdict[str, set[str]] = defaultdict(set)  # name -> the paths that folders can tell apart
        for name, path in zip(names, whole, strict=True):
            apart[name].add(path)
        growing = [index for index, name in enumerate(names) if len(apart[name]) > 1 and depth[index] < len(parts[index])]
        if not growing:
            break
        for index in growing:
            depth[index] += 1
    taken: set[str] = set()
    count: Counter[str] = Counter()
    for index, name in enumerate(names):  # such as a/b.png beside a_b.png
        while names[index] in taken:
            count[name] += 1
            names[index] = f"{name}_{count[name] + 1}"
        taken.add(names[index])
    return names
