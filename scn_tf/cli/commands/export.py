"""``scn-tf export``: write the network of a run in another form."""

import argparse

from scn_tf.cli import forms, inputs
from scn_tf.cli.command import Command
from scn_tf.export import choice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, the target and its form."""
    inputs.add_run(parser)
    forms.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Write the export.

    Raises:
        ConversionError: the form does not have one of the options.
        Error: the run or the target cannot be used.
    """
    from scn_tf import export

    form = choice.form_of(options.out, options.form)
    path = export.write(options.run_folder, options.out, form, **forms.given(options))
    print(f"{form.name:11s} {path}")


COMMAND = Command(
    name="export",
    help="write a model for TF Serving, devices or other runtimes",
    description="Write a run in another form, chosen by the name of OUT. Every form includes the decoder.",
    examples=("export runs/first served", "export runs/first hand.tflite --quantize int8", "export runs/first hand.onnx"),
    add_arguments=add_arguments,
    run=run,
    rank=80,
)
