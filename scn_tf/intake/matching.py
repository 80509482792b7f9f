"""Annotations to images: by the name as written, by the name of the annotation file, and by what both have in common."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scn_tf.data import images
from scn_tf.data.images import Source
from scn_tf.errors import DatasetError
from scn_tf.intake.parts import Part
from scn_tf.messages import cut, visible

SHOWN = 4  # names in a message
UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # in front of the name of a file that was uploaded to Label Studio
BOUNDARY = re.compile(r"[^0-9A-Za-z]")
TELLING = re.compile(r"\d|(?:^|_)(?:sub|tpl|ses)-")  # of the beginning of a name: it is of one image
MAX_COMPARED = 4_000_000  # pairs of names
WORDS = re.compile(r"[_.\s]+")
ENTITY = re.compile(r"(?:^|_)([a-z]+)-([0-9a-z]+)")  # of BIDS: sub-01, in lower case


class Entry(NamedTuple):
    """Annotations of one image in one file.

    Attributes:
        part: number of the file.
        key: ID in that file.
        name: name or path of the image as the file writes it, else the ID. Untrusted.
        named: whether the file names its image.
        path: the file.
    """

    part: int
    key: str
    name: str
    named: bool
    path: Path


class Matched(NamedTuple):
    """Result of matching.

    Attributes:
        pairs: image ID -> its annotations.
        unused: annotations without an image.
        bare: images without annotations.
    """

    pairs: dict[str, Entry]
    unused: list[Entry]
    bare: list[Source]


def entries(parts: Sequence[Part]) -> list[Entry]:
    """The annotations of all files, image by image."""
    return [
        Entry(number, key, part.annotations.images.get(key, key), key in part.annotations.images, part.path)
        for number, part in enumerate(parts)
        for key in part.annotations.points
    ]


def match(found: Sequence[Entry], sources: Sequence[Source], fits: Callable[[Path], bool] = lambda path: True) -> Matched:
    """Find the image of each annotation. Strict rules come first; later rules see only what is left.

    Args:
        found: annotations.
        sources: images.
        fits: whether an image has the dimension of the points. It is asked where an annotation has the name of several images.

    Raises:
        DatasetError: an annotation fits several images, or two annotations fit one image.
    """
    pairs: dict[str, Entry] = {}
    left = list(found)
    for keys in RULES:
        index: defaultdict[str, list[Source]] = defaultdict(list)
        for source in sources:
            if keys in STRICT or source.id not in pairs:
                for key in keys(source.path.name):
                    index[key].append(source)
        left = [entry for entry in left if not _taken(pairs, entry, _fitting(entry, index, keys, fits))]
    sizes = Counter(entry.part for entry in found)
    for rule in (_by_common_words, _by_folder):
        free = [source for source in sources if source.id not in pairs]
        matched = dict(rule(left, free, sizes)) if free and left else {}
        left = [entry for entry in left if not _taken(pairs, entry, matched.get(entry))]
    return Matched(pairs, left, [source for source in sources if source.id not in pairs])


def _taken(pairs: dict[str, Entry], entry: Entry, source: Source | None) -> bool:
    """Note the image of an annotation, if it has one."""
    if source is None:
        return False
    if (other := pairs.get(source.id)) is not None:
        raise DatasetError(
            f"{_shown(entry.path)}: {_name(entry)} is a second annotation of image {cut(visible(source.id), 60)}, after {_name(other)} of "
            f"{_shown(other.path)}. Name the annotation files to use, or their folder, such as that of one rater."
        )
    pairs[source.id] = entry
    return True


def _fitting(
    entry: Entry, index: dict[str, list[Source]], keys: Callable[[str], Iterable[str]], fits: Callable[[Path], bool]
) -> Source | None:
    written = re.sub(r"[\\/]+", "/", entry.name.strip().strip("\"'")).split("/")
    found = list(dict.fromkeys(source for key in keys(written[-1]) for source in index.get(key, ())))
    if len(found) > 1:  # of images of one name those in the folders that the annotation names, or in which it lies
        for folders in (written[:-1], [*entry.path.parts[:-1]]):
            found = _nearest(found, folders)
    if len(found) > 1:  # a volume and its preview
        found = [source for source in found if fits(source.path)] or found
    if len(found) > 1:
        listed = ", ".join(_shown(source.path) for source in found[:SHOWN])
        raise DatasetError(
            f"{_shown(entry.path)}: {_name(entry)} fits {len(found)} images: {listed}. Put the pairs into folders of their own."
        )
    return found[0] if found else None


def _nearest(found: list[Source], folders: list[str]) -> list[Source]:
    """Those of several images whose path shares most folders, the last ones first."""
    if not folders:
        return found

    def shared(source: Source) -> tuple[int, int]:
        own = source.path.parts[:-1]
        ends = next((count for count, (a, b) in enumerate(zip(reversed(own), reversed(folders), strict=False)) if a != b), None)
        return min(len(own), len(folders)) if ends is None else ends, len({*own} & {*folders})

    best = max(map(shared, found))
    return [source for source in found if shared(source) == best]


def _as_written(name: str) -> Iterator[str]:
    yield name


def _by_stem(name: str) -> Iterator[str]:
    yield images.stem(name)
    yield name


def _by_upload(name: str) -> Iterator[str]:
    """The stem, without the prefix of an upload."""
    yield from _by_stem(UPLOAD.sub("", name))


def _by_lower_case(name: str) -> Iterator[str]:
    yield from (key.lower() for key in _by_upload(name))


def _by_numbers(name: str) -> Iterator[str]:
    """Without leading zeros, which spreadsheets drop."""
    yield from (re.sub(r"\d+", lambda digits: str(int(digits[0])), key[:200]) for key in _by_lower_case(name))


STRICT = (_as_written, _by_stem)
RULES: tuple[Callable[[str], Iterable[str]], ...] = (_as_written, _by_stem, _by_upload, _by_lower_case, _by_numbers)


def _by_common_words(left: list[Entry], free: list[Source], sizes: Counter[int]) -> Iterator[tuple[Entry, Source]]:
    """Pairs of which one name begins with the other, or, for files of one image, whose names begin with the same words.

    Such words have a number or are of BIDS: ``sub-01_T1w.nii.gz`` and ``sub-01_afids.fcsv``.
    """
    if len(left) * len(free) > MAX_COMPARED:
        return
    stems = {source: images.stem(source.path.name).lower() for source in free}
    best: dict[Entry, Source] = {}
    for entry in left:
        own = images.stem(re.split(r"[\\/]", entry.name)[-1]).lower()
        loose = sizes[entry.part] == 1 and not entry.named
        scores = {source: _common(own, stem, loose=loose) for source, stem in stems.items()}
        high = max(scores.values())
        those = [source for source, score in scores.items() if score == high]
        if high > 0 and len(those) == 1:
            best[entry] = those[0]
    images_of = list(best.values())
    for entry, source in best.items():
        if images_of.count(source) == 1:
            yield entry, source


def _common(first: str, second: str, *, loose: bool) -> int:
    """Number of characters of the beginning that two names share. Zero if they may be of different images.

    Args:
        first, second: names.
        loose: whether the names may also differ in their last words.
    """
    for short, long in ((first, second), (second, first)):
        if short and long.startswith(short) and BOUNDARY.match(long[len(short) :]):
            return len(short) + 1
    if loose and (shared := _common_entities(first, second)):
        return shared
    one, other = WORDS.split(first), WORDS.split(second)
    same = next((count for count, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    if not same or not loose or not TELLING.search("_".join(one[:same])):
        return 0
    rests = [re.search(r"\d", " ".join(words[same:])) is not None for words in (one, other)]
    return 0 if all(rests) else len(" ".join(one[:same]))


def _common_entities(first: str, second: str) -> int:
    """Number of characters of the BIDS entities that two names share, such as ``sub-01``. Zero if one of them differs."""
    one, other = dict(ENTITY.findall(first)), dict(ENTITY.findall(second))
    shared = one.keys() & other.keys()
    if not shared & {"sub", "tpl"} or any(one[key] != other[key] for key in shared):
        return 0
    return sum(len(key) + len(one[key]) + 2 for key in shared)


def _by_folder(left: list[Entry], free: list[Source], sizes: Counter[int]) -> Iterator[tuple[Entry, Source]]:
    """The one annotation and the one image of a folder with all folders in it, or of all sources."""
    single = [entry for entry in left if not entry.named and sizes[entry.part] == 1]
    if len(single) == len(free) == 1:
        yield single[0], free[0]
        return
    images_in: defaultdict[Path, list[Source]] = defaultdict(list)
    files_in: Counter[Path] = Counter()
    for source in free:
        for folder in ([source.path] if source.path.is_dir() else []) + list(source.path.parents):
            images_in[folder].append(source)
    for entry in single:
        files_in.update(entry.path.parents)
    for entry in single:
        place = next((folder for folder in entry.path.parents if images_in[folder]), None)
        if place is not None and len(images_in[place]) == files_in[place] == 1:
            yield entry, images_in[place][0]


def _name(entry: Entry) -> str:
    return cut(visible(entry.name), 60)


def _shown(path: Path) -> str:
    return visible(str(path))
