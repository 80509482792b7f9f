"""The folder of a new data set, written whole or not at all."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import yaml

from scn_tf.data import images
from scn_tf.data.annotations import ANNOTATIONS, Annotations, write_annotations
from scn_tf.data.images import IMAGE_FORMATS
from scn_tf.data.images.dicom.series import dicom_files
from scn_tf.errors import DatasetError, WriteError
from scn_tf.intake.sources import DESCRIPTION
from scn_tf.messages import visible
from scn_tf.storage import files

TABLE = "landmarks.csv"
MAX_HEADER = 2**16  # bytes of a header in which names of data files are sought
PAIRED = (".img", ".img.gz")  # pixels of a NIfTI header of the same stem
Placing: TypeAlias = Literal["auto", "copy", "link"]
PLACED = {"auto": "hard links where possible, else copies", "copy": "copies", "link": "symbolic links to the sources"}


class _Dumper(yaml.SafeDumper):
    """Writes keys line by line, and lists in one line."""


_Dumper.add_representer(list, lambda dumper, values: dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True))


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``out``, and give it that name if the block succeeds.

    Raises:
        WriteError: ``out`` exists and is not empty, or cannot be written.
    """
    check_new(out)
    above = Path(os.path.abspath(out)).parent
    missing = next((folder for folder in reversed([above, *above.parents]) if not folder.exists()), None)
    files.make_folder(above)
    done = False
    try:
        with files.temporary_folder(above, "intake") as temporary:
            inside = temporary / "set"
            inside.mkdir()
            yield inside
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(out)
            os.rename(inside, out)
            done = True
        files.flush_listing(above)
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"{out}: cannot be written ({error.strerror or error}). Nothing was left there.") from None
    finally:
        if not done and missing is not None:  # folders that were made for nothing
            with contextlib.suppress(OSError):
                for folder in [above, *above.parents]:
                    folder.rmdir()
                    if folder == missing:
                        break


def check_new(out: Path) -> None:
    """Refuse a path at which something exists.

    Raises:
        WriteError: it is a file, or a folder that is not empty.
    """
    try:
        if os.path.lexists(out) and (not out.is_dir() or out.is_symlink() or any(out.iterdir())):
            what = "is a file or a link" if out.is_symlink() or not out.is_dir() else "is a folder that is not empty"
            raise WriteError(f"{visible(str(out))}: {what}. Nothing was written; choose another `out`, or remove it.")
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"{visible(str(out))}: cannot be written ({error.strerror or error}).") from None


def write_set(
    root: Path,
    description: Mapping[str, object],
    annotations: Annotations,
    *,
    comment: str,
    splits: Mapping[str, list[str]],
    pictures: Mapping[str, Path],
    placing: Placing,
) -> None:
    """Write the files of a data set into an empty folder.

    Args:
        root: the folder.
        description: keys of ``dataset.yaml``.
        annotations: in the frame of the description.
        comment: first line of ``dataset.yaml``.
        splits: name -> image IDs.
        pictures: image ID -> file, or folder of a DICOM series.
        placing: how images come into the folder.

    Raises:
        WriteError: the disk is full, or a file cannot be read or written.
    """
    write_table(root, description, annotations, comment=comment)
    (root / "splits").mkdir()
    for name, ids in splits.items():
        files.write_text(root / "splits" / f"{name}.txt", "".join(f"{image_id}\n" for image_id in ids))
    (root / "images").mkdir()
    for image_id, path in pictures.items():
        _place_image(path, root / "images", image_id, placing)


def write_table(root: Path, description: Mapping[str, object], annotations: Annotations, *, comment: str) -> None:
    """Write ``dataset.yaml`` and the table of landmarks into a folder."""
    text = yaml.dump(dict(description), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
    files.write_text(root / DESCRIPTION, f"# {comment}\n{text}")
    write_annotations(root / TABLE, annotations, ANNOTATIONS["scn"], {})


def _place_image(path: Path, folder: Path, image_id: str, placing: Placing) -> None:
    """Put one image into the folder, under its ID: a file, a file with the file of its pixels, or the slices of a series."""
    if path.is_dir():
        (folder / image_id).mkdir()
        for inside in dicom_files(path):
            _place(inside, folder / image_id / inside.name, placing)
        return
    own = images.stem(path)
    _place(path, folder / f"{image_id}{path.name[len(own) :]}", placing)
    for beside in data_files(path):
        paired = beside.name.lower() in (f"{own}{ending}".lower() for ending in PAIRED)
        target = folder / (f"{image_id}{beside.name[len(own) :]}" if paired else beside.name)
        # A header may name files of its own folder alone, and a symbolic link leads outside.
        _place(beside, target, "auto" if placing == "link" else placing)


def data_files(path: Path) -> list[Path]:
    """Files that hold the pixels of a header: those that it names, and the one of the same stem. Empty for other images."""
    if not path.name.lower().endswith(tuple(ending for row in IMAGE_FORMATS.values() for ending in row.headers)):
        return []
    with open(path, "rb") as file:
        head = file.read(MAX_HEADER)
    own = images.stem(path)
    paired = {f"{own}{ending}".lower() for ending in PAIRED}
    return [
        other
        for other in sorted(path.parent.iterdir())
        if other != path and other.is_file() and (other.name.lower() in paired or os.fsencode(other.name) in head)
    ]


def _place(path: Path, target: Path, placing: Placing) -> None:
    if os.path.lexists(target):
        raise DatasetError(
            f"{visible(str(path))}: another image has a file of this name, too. Save each image as one file, as .mha or .nrrd."
        )
    source = os.path.realpath(path)
    if placing == "link":
        os.symlink(source, target)
        return
    if placing == "auto":
        try:
            os.link(source, target)
            return
        except OSError as error:  # another disk, a file system without links, a file of another user
            if error.errno in (errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG):
                raise
    shutil.copyfile(source, target)
