"""SavedModel: a folder of versions for TF Serving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scn_tf.export.forms import ExportForm

if TYPE_CHECKING:
    from scn_tf.export.parity import Compared, Sent
    from scn_tf.runs.info import ModelInfo
    from scn_tf.types import PathName, Respond


def _write(run: PathName, out: Path) -> Path:
    from scn_tf.export.forms.saved_model import writing

    return writing.write_version(run, out)


def _open(path: PathName) -> tuple[Respond, ModelInfo]:
    from scn_tf.export.forms.saved_model import reading

    return reading.open_export(path)


def _is_there(path: Path) -> bool:
    return (path / "saved_model.pb").is_file() or any(found.parent.name.isdecimal() for found in path.glob("*/saved_model.pb"))


def _callers(path: Path, sent: Sent) -> list[Compared]:
    from scn_tf.export.forms.saved_model import callers

    return callers.callers(path, sent)


SAVED_MODEL = ExportForm(
    name="saved_model",
    title="SavedModel",
    description="TF Serving, the local server and TensorFlow (OUT/1 or the next free number)",
    suffix="",
    write=_write,
    open=_open,
    is_there=_is_there,
    instead={"heatmaps": "a SavedModel always has the signature serve_heatmaps"},
    more_error={"colour JPEG": 0.01},  # two decoders round its chroma in their own ways
    callers=_callers,
    rank=1,
)
