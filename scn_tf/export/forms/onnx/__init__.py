"""ONNX: one file for any batch, in 2D and 3D."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scn_tf.export.forms import ExportForm, Option

if TYPE_CHECKING:
    from scn_tf.runs.info import ModelInfo
    from scn_tf.types import PathName, Respond


def _write(run: PathName, path: Path, *, heatmaps: bool = False) -> Path:
    from scn_tf.export.forms.onnx import writing

    return writing.write_file(run, path, heatmaps=heatmaps)


def _open(path: PathName) -> tuple[Respond, ModelInfo]:
    from scn_tf.export.forms.onnx import reading

    return reading.open_file(path)


ONNX = ExportForm(
    name="onnx",
    title="ONNX",
    description="ONNX Runtime and programs that embed it",
    suffix=".onnx",
    write=_write,
    open=_open,
    options=(Option("heatmaps", "also give the heatmaps", "switch"),),
    rank=3,
)
