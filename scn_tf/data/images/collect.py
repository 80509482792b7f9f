"""Images in a list of files and folders, and their IDs."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from scn_tf.data.images.dicom.series import Content, content
from scn_tf.data.images.formats import IMAGE_FORMATS, is_image, shown, stem
from scn_tf.errors import ImageError

# Formats of pictures that people have, and that are not read.
UNREAD_PICTURES = (".gif", ".webp", ".heic", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".pdf", ".czi", ".nd2", ".svs")
UNREAD = (*UNREAD_PICTURES, ".mnc", ".mgz", ".mgh", ".img", ".rec", ".ima", ".dicom")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
MAX_DEPTH = 32  # of folders in folders


class Source(NamedTuple):
    """One image: its ID, the file or the folder of its DICOM series, and which series if the folder holds several."""

    id: str
    path: Path
    series: str | None = None


class Place(NamedTuple):
    """Where an image was found. ``label`` distinguishes the series of one folder."""

    path: Path
    series: str | None = None
    label: str = ""


def collect(
    paths: Iterable[str | os.PathLike[str]], *, dims: int, unpacked: Mapping[Path, str] | None = None
) -> tuple[list[Source], list[str]]:
    """Find the images of files and folders, including nested folders, in order.

    For volumes, every DICOM series of a folder is one image.

    Args:
        paths: files and folders.
        dims: 2 or 3, as the model expects.
        unpacked: folder of an unpacked archive -> ID of its image, if it holds a single volume.

    Returns:
        (sources with distinct IDs, one line per file that was left out because its format is not read).

    Raises:
        ImageError: a path does not exist, or there is no image.
    """
    paths = check_exist(paths)
    found: list[Place] = []
    left_out: list[str] = []
    named: dict[Place, str] = {}  # volume -> name of the archive that holds nothing else
    for path in paths:
        if not path.is_dir():
            found.append(Place(path))
            continue
        inside: list[Place] = []
        _search(path, dims, inside, left_out, MAX_DEPTH)
        if unpacked and path in unpacked and dims == 3 and len(inside) == 1:
            named[inside[0]] = unpacked[path]
        found += inside
    found = list(dict.fromkeys(found))
    if not found and not left_out:
        raise ImageError(f"{', '.join(map(shown, paths))}: no images there.")
    lasts = [named.get(place, f"{_last(place.path.absolute())}{place.label}") for place in found]
    ids = distinct_ids([place.path for place in found], lasts)
    return [Source(name, place.path, place.series) for name, place in zip(ids, found, strict=True)], left_out


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


def _search(folder: Path, dims: int, found: list[Place], left_out: list[str], depth: int) -> None:
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        left_out.append(f"{shown(folder)}: cannot be looked into ({error.strerror}).")
        return
    headers = tuple(ending for row in IMAGE_FORMATS.values() for ending in row.headers)
    named = tuple(f"{stem(path)}." for path in inside if path.name.lower().endswith(headers))
    slices = _add_series(folder, content(folder), found, left_out) if dims == 3 else set()
    for path in inside:
        if path.is_dir():
            if depth and not path.is_symlink():
                _search(path, dims, found, left_out, depth - 1)
            else:
                left_out.append(f"{shown(path)}: not searched, a link to a folder or too deep.")
        elif path in slices or path.name.upper() == "DICOMDIR":
            continue
        elif is_image(path):
            found.append(Place(path))
        elif path.name.startswith(named):
            continue
        elif path.name.lower().endswith(UNREAD):
            left_out.append(f"{shown(path)}: left out, of a format that is not read.")
        elif path.name.lower().endswith(ARCHIVES):
            fix = "name it by itself" if path.name.lower().endswith(".zip") else "unpack it first"
            left_out.append(f"{shown(path)}: left out, an archive; {fix}.")


def _add_series(folder: Path, inside: Content, found: list[Place], left_out: list[str]) -> set[Path]:
    """Add the DICOM series of a folder to the images. Returns the files that are no images by themselves."""
    numbers = list(inside.numbers.values())
    if len(inside.series) > 1:
        distinct = all(numbers) and len(set(numbers)) == len(numbers)
        labels = numbers if distinct else [str(number + 1) for number in range(len(numbers))]
        found += [Place(folder, uid, f"_{label}") for uid, label in zip(inside.series, labels, strict=True)]
    elif inside.series and inside.others:  # reports beside the slices
        found += [Place(folder, uid) for uid in inside.series]
    elif inside.series or inside.damaged:
        found.append(Place(folder))  # reading it tells what is damaged
    if found and found[-1] != Place(folder):
        left_out += [f"{shown(path)}: left out, a damaged DICOM file." for path in inside.damaged]
    left_out += [f"{shown(path)}: left out, a DICOM file without an image." for path in inside.others]
    return {*inside.damaged, *inside.others, *(path for paths in inside.series.values() for path in paths)}


def _last(path: Path) -> str:
    return path.name if path.is_dir() else stem(path)


def distinct_ids(paths: list[Path], lasts: list[str] | None = None) -> list[str]:
    """One ID per path: its stem, or its whole name if another file has the same stem.

    Parent folders are prepended until all IDs differ.

    Args:
        paths: files and folders.
        lasts: names to use instead of the stems.
    """
    absolute = [path.absolute() for path in paths]
    lasts = lasts or [_last(path) for path in absolute]
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
