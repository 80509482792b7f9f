"""Files of single images beside the table: pictures, and files of other tools."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from scn_tf.data.annotations import ANNOTATIONS, AnnotationFormat, write_annotations
from scn_tf.errors import ConfigError, WriteError
from scn_tf.figures import pictures
from scn_tf.figures.marks import Marks
from scn_tf.prediction import tables
from scn_tf.prediction.steps import Prediction
from scn_tf.prediction.tables import Found
from scn_tf.storage import files, ownership

TABLE = "predictions"  # name of the file of a format with one file for all images


class Outputs(NamedTuple):
    """What to write beside the table. None: nothing.

    Attributes:
        overlay: folder of pictures.
        format: format of another tool.
        folder: folder of its files.
    """

    overlay: Path | None = None
    format: AnnotationFormat | None = None
    folder: Path | None = None

    @property
    def per_image(self) -> bool:
        """Whether the format has one file per image."""
        return self.format is not None and self.format.per_image

    def table(self) -> Path | None:
        """File of a format with one file for all images."""
        if self.format is None or self.folder is None or self.format.per_image:
            return None
        return self.folder / f"{TABLE}{self.format.endings[0]}"

    def of_image(self, image_id: str) -> list[Path]:
        """Files of an image."""
        found = [] if self.overlay is None else [self.overlay / f"{image_id}.png"]
        if self.format is not None and self.folder is not None and self.per_image:
            found.append(self.folder / f"{image_id}{self.format.endings[0]}")
        return found


NOTHING = Outputs()


def writing_formats() -> list[str]:
    """Names of the formats that can be written."""
    return [row.name for row in ANNOTATIONS.values() if row.write is not None]


def chosen(overlay: Path | None, to: str | None, to_dir: Path | None) -> Outputs:
    """Outputs of a command's options.

    Raises:
        ConfigError: the format is unknown or only read, or one of `to` and `to_dir` lacks the other.
    """
    if (to is None) != (to_dir is None):
        missing, given = ("`to_dir`, a folder", "`to`") if to_dir is None else ("`to`, the name of a format", "`to_dir`")
        raise ConfigError(f"{given}: needs {missing}. Formats: {', '.join(writing_formats())}.")
    if to is None:
        return Outputs(overlay)
    row = ANNOTATIONS[to]
    if row.write is None:
        raise ConfigError(f"`to`: {row.name} is only read; expected one of {', '.join(writing_formats())}.")
    return Outputs(overlay, row, to_dir)


def check(outputs: Outputs, image_ids: Iterable[str], out: Path) -> None:
    """Check before any work that all files can be written.

    Raises:
        WriteError: other programs' files have these names, two outputs are one file, or a folder is not writable.
    """
    names = [path for image_id in image_ids for path in outputs.of_image(image_id)]
    table = outputs.table()
    if table is not None:
        files.make_folder(table.parent)
        files.check_writable(table)
        names.append(table)
    if os.path.realpath(out) in {os.path.join(os.path.realpath(path.parent), path.name) for path in names}:
        raise WriteError(f"{out}: is also a file of `to`; choose another `to_dir`.")
    for folder, option in ((outputs.overlay, "overlay"), (outputs.folder, "to_dir")):
        if folder is not None:
            files.make_folder(folder)
            inside = [path for path in names if path.parent == folder]
            _check_case(folder, inside)
            check_own(inside, option)
            if inside:  # the others are alike; each call looks through the folder
                files.check_writable(max(inside, key=lambda path: len(os.fsencode(path.name))))


def _check_case(folder: Path, paths: list[Path]) -> None:
    alike: dict[str, Path] = {}
    for path in paths:
        first = alike.setdefault(unicodedata.normalize("NFC", path.name.casefold()), path)
        if first != path and files.folds_case(folder):
            raise WriteError(f"{path}: is {first.name} for this disk, where capital and small letters are alike. Rename an image.")


def check_own(paths: list[Path], option: str) -> None:
    """Refuse to replace files of other programs.

    Args:
        paths: files that would be replaced or removed, if they exist.
        option: name of the argument that names their folder.

    Raises:
        WriteError: one exists that scn_tf did not write.
    """
    foreign = [path for path in paths if os.path.isfile(path) and not ownership.is_ours(path)]
    if foreign:
        more = f", like {len(foreign) - 1} more of {len(paths)}" if len(foreign) > 1 else ""
        hint = "Pictures of versions before 0.3 carry no mark. " if option in ("overlay", "review") else ""
        raise WriteError(
            f"{foreign[0]}: already exists and was not written by scn_tf{more}. {hint}Choose another `{option}` folder, or remove them."
        )


def write(outputs: Outputs, found: Found, prediction: Prediction) -> None:
    """Write the files of one image.

    Raises:
        DatasetError: the format cannot hold this image's points; the message names the reason.
        WriteError: a file cannot be written.
    """
    if outputs.overlay is not None:
        write_overlay(outputs.overlay / f"{found.id}.png", prediction)
    if outputs.format is not None and outputs.folder is not None and outputs.per_image:
        points, facts = tables.annotations([found], prediction.names)
        write_annotations(outputs.folder, points, outputs.format, facts)


def write_overlay(path: Path, prediction: Prediction) -> None:
    """Write a picture of an image with its points, PNG.

    Raises:
        WriteError: the file cannot be written.
    """
    picture = pictures.overlay_figure(prediction.image.array, prediction.array_landmarks, prediction.names, _marks(prediction))
    with files.replaced(path) as temporary:
        temporary.write_bytes(pictures.encode_png(picture))


def _marks(prediction: Prediction) -> Marks | None:
    estimates, radii = prediction.estimates, prediction.array_radii
    if estimates is None or radii is None:
        return None
    return Marks(radii, estimates.present, estimates.image_ok, prediction.array_regions, estimates.misplaced)


def write_table(outputs: Outputs, found: Iterable[Found], names: tuple[str, ...]) -> Path | None:
    """Write the file of a format with one file for all images. Returns its path.

    Raises:
        DatasetError, WriteError: see :func:`write`.
    """
    table = outputs.table()
    if table is not None and outputs.format is not None:
        points, facts = tables.annotations(found, names)
        write_annotations(table, points, outputs.format, facts)
    return table
