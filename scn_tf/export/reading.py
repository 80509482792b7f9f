"""Opening of exports in any form."""

from pathlib import Path

from scn_tf import systems
from scn_tf.errors import CheckpointError
from scn_tf.export import choice
from scn_tf.export.forms import ExportForm
from scn_tf.runs.info import ModelInfo
from scn_tf.types import Locate, Located, PathName, Tensor


def form_at(path: PathName) -> ExportForm:
    """Form of an export as in :func:`scn_tf.export.choice.form_at`, which must exist.

    Raises:
        CheckpointError: there is no export.
    """
    form = choice.form_at(Path(path))
    if form is None:
        expected = [f"a {ending} file" for ending in choice.endings()] + [f"an exported {title}" for title in choice.folder_titles()]
        raise CheckpointError(f"{path}: no export there; expected {choice.listed(expected, 'or')}.")
    return form


def localizer(path: PathName, form: ExportForm | None = None) -> tuple[Locate, ModelInfo]:
    """Open an export to find landmarks in images of the network's size.

    Args:
        path: path of the export.
        form: form of the export, if known.

    Returns:
        (function float32 (B, [D,] H, W, C) -> :class:`scn_tf.types.Located`, facts of the export).

    Raises:
        CheckpointError: there is no export, a damaged one, or one that finds label maps.
        ConversionError: scn_tf did not write the file.
        MissingExtra: the library of its form is not installed.
    """
    respond, info = (form or form_at(path)).open(path)
    system = systems.of(info.config)
    if system.open is None:
        raise CheckpointError(f"{path}: {system.what_else}; call the export with its own runtime.")

    def locate(images: Tensor) -> Located:
        return Located(**respond(images))

    return locate, info
