"""``scn-tf export``: a run in, a SavedModel, TFLite or ONNX file out."""

import argparse
import re
from pathlib import Path

from scn_tf import config
from scn_tf.cli import inputs
from scn_tf.cli.command import Command

EXPORTS = {".tflite": "tflite", ".onnx": "onnx"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, the target and its form."""
    inputs.add_run(parser)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder, FILE.tflite or FILE.onnx")
    parser.add_argument("--form", choices=("saved_model", "tflite", "onnx"), help="default: by the name of OUT")
    parser.add_argument("--quantize", choices=("none", "dynamic", "float16", "int8"), default="none", help="TFLite only (default: none): "
        "float16 and dynamic store smaller weights, int8 also computes in integers, calibrated on the run's training images")  # fmt: skip
    inputs.add_data_root(parser, help="int8 only: data set (default: that of the run)")
    parser.add_argument("--heatmaps", action="store_true", help="TFLite and ONNX: also give the heatmaps")


def run(options: argparse.Namespace) -> None:
    """Write the export.

    Raises:
        ConfigError: options that do not fit the form.
        Error: of the run or the target.
    """
    from scn_tf import export

    form = _form(options)
    if form == "tflite":
        path = export.export_tflite(
            options.run_folder, options.out, quantize=options.quantize, heatmaps=options.heatmaps, root=options.root
        )
    elif form == "onnx":
        path = export.export_onnx(options.run_folder, options.out, heatmaps=options.heatmaps)
    else:
        path = export.export_saved_model(options.run_folder, options.out)
    print(f"{form:11s} {path}")


def _form(options: argparse.Namespace) -> str:
    """The form that is asked for, or that the target's name means."""
    suffix = options.out.suffix
    folder = options.out.is_dir() or re.fullmatch(r"(\.v?\d+)?", suffix)  # hands-1.2 is a folder's name
    if options.form is None and suffix not in EXPORTS and not folder:
        raise config.ConfigError(
            f"{options.out}: {suffix} is no form of export; expected FILE.tflite, FILE.onnx or a folder. "
            "Should a folder have this name: --form saved_model."
        )
    form: str = options.form or EXPORTS.get(suffix, "saved_model")
    if options.quantize != "none" and form != "tflite":
        raise config.ConfigError(f"--quantize: {options.quantize} is for TFLite; {options.out} would be {form}.")
    if options.heatmaps and form == "saved_model":
        raise config.ConfigError("--heatmaps: is for TFLite and ONNX; a SavedModel always has the signature serve_heatmaps.")
    return form


COMMAND = Command(
    name="export",
    help="write a model for TF Serving, devices or other runtimes",
    description=(
        "Write a run as a SavedModel (OUT is a folder; the model goes to OUT/1 or the next free number), "
        "as TFLite (OUT.tflite) or as ONNX (OUT.onnx). The decoder is inside each of them."
    ),
    add_arguments=add_arguments,
    run=run,
    rank=80,
)
