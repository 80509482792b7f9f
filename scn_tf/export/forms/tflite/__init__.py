"""TFLite: one file of builtin operations with a batch of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scn_tf.export.forms import ExportForm, Option
from scn_tf.storage import ownership

if TYPE_CHECKING:
    from scn_tf.runs.info import ModelInfo
    from scn_tf.types import Array, PathName, Respond

SIGNATURE = "serve_input"
QUANTIZATIONS = ("none", "dynamic", "float16", "int8")


def _write(
    run: PathName,
    path: Path,
    *,
    quantize: str = QUANTIZATIONS[0],
    heatmaps: bool = False,
    images: Array | None = None,
    root: PathName | None = None,
) -> Path:
    from scn_tf.export.forms.tflite import writing

    return writing.write_file(run, path, quantize=quantize, heatmaps=heatmaps, images=images, root=root)


def _open(path: PathName) -> tuple[Respond, ModelInfo]:
    from scn_tf.export.forms.tflite import reading

    return reading.open_file(path)


TFLITE = ExportForm(
    name="tflite",
    title="TFLite",
    description="phones, the browser, small machines",
    suffix=".tflite",
    write=_write,
    open=_open,
    is_ours=ownership.marked(b"TFL3", 4),
    options=(
        Option(
            "quantize",
            "float16 and dynamic store smaller weights, int8 also computes in integers, calibrated on the run's training images",
            "choice",
            QUANTIZATIONS,
        ),
        Option("root", "int8 only: data set (default: that of the run)", "folder"),
        Option("heatmaps", "also give the heatmaps", "switch"),
        Option("images", "int8 only: float32 (I, [D,] H, W, C) to calibrate with, instead of the training split", "value"),
    ),
    more_error={"float16": 0.01, "dynamic": 0.02, "int8": 0.10},
    rank=2,
)
