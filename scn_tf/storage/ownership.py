"""Recognition of files that this package wrote, by their contents. Files of other programs are never replaced.

``RECOGNISED`` has one row per kind of file. Each reads a few bytes, or the list of contents of an archive. Export forms recognise
their own files (:mod:`scn_tf.export.forms`).
"""

import json
import mmap
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

METADATA = b"scn_tf.json"  # the name under which every form of a model carries what we say of it
HEAD = 4096  # bytes
MAX_TEXT = 64 << 20  # bytes; JSON and YAML of ours are smaller
TABLES = re.compile(
    rb"id,landmark,x,y(,z)?,score\b|id,landmark,error_(mm|px)\b|landmark,points,pe_mean_"
    rb"|id,measurement,(value|found,annotated,error),unit\b|comparison,figure,|rank,id,(picture,reasons|file,expected_error,)"
    rb"|epoch,seconds,learning_rate,|epoch,[^\n]*\bval_dice\b|system,size,"
)
REPORTS = re.compile(rb"<!doctype html><html lang=en><meta charset=utf-8><title>[^<]*, split [^<]*</title><style>body\{font:15px ")
REASONS = b"Settings decided by scn_tf\n"
STUDIES = re.compile(rb"\d+ of \d+ runs\. Errors in ")
FIDUCIALS = re.compile(rb"(# [^\n]*\n)*# written by scn_tf\n")  # 3D Slicer does not keep the comment
MATLAB = b"MATLAB 5.0 MAT-file, written by scn_tf"  # nor MATLAB this header
LABEL_MAP = b"label map by scn_tf"  # nor others this description
JSON_KEYS = ({"scn_tf"}, {"pe_mean_px", "sdr_percent"}, {"dice_mean", "dice"}, {"landmarks", "pixel_size", "size"})
FINDING = {"severity", "kind", "image", "landmark", "message", "fix"}  # of a check
SECTIONS = {"data", "model", "heatmap", "augment", "train"}
MIN_FIELDS = 10  # of the section train in a configuration that a run wrote; a user's own names a few
PNG_START, PNG_HEADER = b"\x89PNG\r\n\x1a\n", 33  # signature, and with the first chunk
STAMP = b"tEXtSoftware\0scn_tf"
COMMENT = b"<!-- scn_tf -->\n"
IMPLEMENTATION = "SCN_TF"  # ImplementationVersionName of DICOM files, in their first bytes
JOURNAL, JOURNALS = ".journal", b'{"scn_tf_journal":'  # ending and beginning
PREDICTIONS = re.compile(rb'\{\s*"scn_tf":\s*"[^"]{1,40}",\s*"kind":\s*"predictions"')  # of any size
XML_COMMENT = b"<!-- written by scn_tf -->"
TPS_COMMENT = "COMMENT=scn_tf"
END = b"scn_tf"  # of ImageJ's selections, and comment of their archives


def is_ours(path: str | Path) -> bool:
    """Whether a file may be replaced: scn_tf wrote it, or it is empty.

    Args:
        path: existing regular file. Its suffix tells the kind of file; files of unknown kinds may not be replaced.

    Raises:
        OSError: the file cannot be read.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        return True
    recognise = RECOGNISED.get(path.suffix.lower())
    try:
        return recognise is not None and recognise(path)
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, RecursionError, NotImplementedError, yaml.YAMLError):
        return False  # damaged, or of another program


def marked(start: bytes = b"", at: int = 0) -> Callable[[Path], bool]:
    """Build a recogniser of exported files. They contain our name, and ``start`` at position ``at``; or they are empty."""
    return lambda path: path.stat().st_size == 0 or _contains(path, METADATA, start, at)


def anything(path: str | Path) -> bool:
    """Accept every file, for folders that were checked before."""
    return True


def one_of(names: Iterable[str]) -> Callable[[Path], bool]:
    """Build a recogniser of lists whose lines are all among these names."""
    known = set(names)
    return lambda path: set(path.read_text(encoding="utf-8", errors="replace").splitlines()) <= known


def stamp(path: Path) -> None:
    """Add our name to a picture or page that was just written, so that it can be recognised later."""
    suffix = path.suffix.lower()
    if suffix not in (".png", ".html"):
        return
    content = path.read_bytes()
    if suffix == ".html" and b"scn_tf" not in content:
        path.write_bytes(content + COMMENT)
    elif suffix == ".png" and content.startswith(PNG_START) and STAMP not in content[: HEAD // 2]:
        chunk = (len(STAMP) - 4).to_bytes(4, "big") + STAMP + zlib.crc32(STAMP).to_bytes(4, "big")
        path.write_bytes(content[:PNG_HEADER] + chunk + content[PNG_HEADER:])


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD)


def _is_table(path: Path) -> bool:
    return TABLES.match(_head(path).removeprefix(b"\xef\xbb\xbf")) is not None


def _is_page(path: Path) -> bool:
    if REPORTS.match(_head(path)):
        return True
    return _contains(path, b"scn_tf")


def _is_json(path: Path) -> bool:
    if PREDICTIONS.match(_head(path)):
        return True
    if path.stat().st_size > MAX_TEXT:
        return False
    values = json.loads(path.read_bytes())
    if isinstance(values, dict):
        return any(keys <= set(values) for keys in JSON_KEYS) or _is_annotations(values) or _is_check(values)
    return isinstance(values, list) and bool(values) and all(isinstance(task, dict) and _is_task(task) for task in values)


def _is_annotations(values: dict) -> bool:
    """Whether a COCO or LabelMe file is as we wrote it. These programs state themselves in what they save."""
    info = values.get("info")
    return "(scn_tf)" in str(values.get("version")) or (isinstance(info, dict) and info.get("contributor") == "scn_tf")


def _is_task(task: dict) -> bool:
    """Whether a task of Label Studio is as we wrote it. Label Studio adds an ID to what it exports."""
    return task.get("meta") == {"source": "scn_tf"} and "id" not in task


def _is_label_map(path: Path) -> bool:
    """Whether the header of a NIfTI file has our description."""
    head = _head(path)
    return LABEL_MAP in (zlib.decompressobj(31).decompress(head, HEAD) if head.startswith(b"\x1f\x8b") else head)[:352]


def _is_journal(path: Path) -> bool:
    """Whether a file is a journal. A kill may have left its first bytes alone."""
    head = _head(path)[: len(JOURNALS)]
    return JOURNALS.startswith(head)


def _is_check(values: dict[str, object]) -> bool:
    found = values.get("findings")
    return set(values) == {"findings"} and isinstance(found, list) and all(isinstance(one, dict) and set(one) == FINDING for one in found)


def _is_settings(path: Path) -> bool:
    """Whether a file is a complete configuration as a run writes it: every field, no comment, our layout."""
    if path.stat().st_size > MAX_TEXT >> 6:
        return False
    text = path.read_text(encoding="utf-8")
    if any(isinstance(token, yaml.AnchorToken | yaml.AliasToken) for token in yaml.scan(text)):
        return False  # never ours, and may stand for gigabytes
    values = yaml.safe_load(text)
    if not isinstance(values, dict) or not set(values) >= SECTIONS or not all(isinstance(part, dict) for part in values.values()):
        return False
    return len(values["train"]) >= MIN_FIELDS and yaml.safe_dump(values, sort_keys=False) == text


def _is_archive(*members: str) -> Callable[[Path], bool]:
    def recognise(path: Path) -> bool:
        with zipfile.ZipFile(path) as archive:
            return not {*members}.isdisjoint(archive.namelist())

    return recognise


def _contains(path: Path, mark: bytes, start: bytes = b"", at: int = 0) -> bool:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[at : at + len(start)] == start and content.find(mark) >= 0


def _is_tps(path: Path) -> bool:
    """Whether each image of a TPS file has the comment that we write."""
    if path.stat().st_size > MAX_TEXT:
        return False
    text = path.read_text(encoding="utf-8")
    return 0 < text.count("LM=") == text.count(f"\n{TPS_COMMENT}\n")


def _ends_with(mark: bytes) -> Callable[[Path], bool]:
    def recognise(path: Path) -> bool:
        with open(path, "rb") as file:
            file.seek(-min(len(mark), path.stat().st_size), 2)
            return file.read() == mark

    return recognise


def _is_xml(path: Path) -> bool:
    return XML_COMMENT in _head(path)


RECOGNISED = {
    ".csv": _is_table,
    ".json": _is_json,
    ".html": _is_page,
    ".fcsv": lambda path: FIDUCIALS.match(_head(path)) is not None,
    ".mat": lambda path: _head(path).startswith(MATLAB),
    ".gz": _is_label_map,
    ".nii": _is_label_map,
    ".md": lambda path: STUDIES.match(_head(path)) is not None,
    ".png": lambda path: STAMP in _head(path),
    ".txt": lambda path: _head(path).startswith(REASONS),
    ".yaml": _is_settings,
    JOURNAL: _is_journal,
    ".dcm": lambda path: IMPLEMENTATION.encode() in _head(path)[:1024],
    ".keras": _is_archive(METADATA.decode()),
    ".npz": _is_archive("metadata.npy", "progress.npy"),
    # Annotations of other tools. These do not keep the marks of XML and ImageJ files when they save them.
    ".tps": _is_tps,
    ".xml": _is_xml,
    ".roi": _ends_with(END),
    ".zip": _ends_with(END),
}
