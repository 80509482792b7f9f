"""Files that look like annotations and are none: why, and whether one of many is half-written."""

from collections.abc import Callable, Collection
from pathlib import Path
from xml.sax.handler import ContentHandler

from scn_tf.data import images
from scn_tf.data.annotations import ANNOTATIONS, Expected, read_any
from scn_tf.data.annotations.json_items import read_document
from scn_tf.data.text import read_text
from scn_tf.errors import DatasetError
from scn_tf.storage.documents import DocumentError
from scn_tf.storage.xml_documents import parse_xml

# Files that many people have, and what makes them readable.
UNREAD = {
    **dict.fromkeys((".xlsx", ".xlsm", ".ods", ".numbers"), "Save the sheet as CSV."),
    **dict.fromkeys((".npy", ".npz", ".pkl", ".h5", ".hdf5", ".rds", ".rdata"), "Write its points as a table, such as CSV."),
    **dict.fromkeys((".mrb", ".mrml"), "Save its point lists as .mrk.json in 3D Slicer."),
    **dict.fromkeys((".asf", ".nts", ".dta", ".lmk"), "Write its points as text, one line x,y per landmark, or as CSV."),
}
OF_OTHERS = (".json", ".xml")  # other programs write such files beside images, too


def damage(path: Path) -> str | None:
    """Why no format reads a file, as far as its ending tells, as the end of a message; None if that is not known."""
    try:
        if not path.stat().st_size:
            return "is empty. Write it again, or remove it."
        READERS.get(path.suffix.lower(), bool)(path)
    except (DatasetError, DocumentError) as error:
        return str(error).removeprefix(str(path)).lstrip(":, ")
    except OSError as error:
        return f"cannot be read ({error.strerror})."
    return None


def half_written(files: Collection[Path], annotations: Collection[Path], pictures: Collection[Path]) -> Path | None:
    """A file without a format beside many that have one. If it were left out, its image would only seem to lack annotations.

    Args:
        files: all files.
        annotations: those that are annotations.
        pictures: those that are images; the file has the name of one.
    """
    if len(annotations) < 2:
        return None
    kinds = {(path.parent, path.suffix.lower()) for path in annotations}
    stems = {images.stem(path.name) for path in pictures}
    known = {*annotations, *pictures}
    alike = (path for path in files if path not in known and (path.parent, path.suffix.lower()) in kinds)
    of_images = (
        path for path in alike if {path.stem, images.stem(path.stem), Path(path.stem).stem} & stems
    )  # a.json, a.png.json, a.mrk.json
    filled = (
        path for path in of_images if path.suffix.lower() != ".txt" or path.stat().st_size
    )  # YOLO's labels of an image without objects
    return next((path for path in filled if path.suffix.lower() not in OF_OTHERS or damage(path)), None)


def _read_xml(path: Path) -> None:
    parse_xml(read_text(path), ContentHandler())


def _read_table(path: Path) -> None:
    read_any(path, Expected(), ANNOTATIONS["csv-wide"])


READERS: dict[str, Callable[[Path], object]] = {
    ".json": read_document,
    ".xml": _read_xml,
    **dict.fromkeys((".csv", ".tsv", ".tab"), _read_table),
}
