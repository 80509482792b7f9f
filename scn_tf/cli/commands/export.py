"""``scn-tf export``: a run in, the same network in another form out."""

import argparse

from scn_tf.cli import forms, inputs
from scn_tf.cli.command import Command
from scn_tf.export import choice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, the target and its form."""
    inputs.add_run(parser)
    forms.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Write the export.

    Raises:
        ConversionError: options that do not fit the form.
        Error: of the run or the target.
    """
    from scn_tf import export

    form = choice.form_of(options.out, options.form)
    path = export.write(options.run_folder, options.out, form, **forms.given(options))
    print(f"{form.name:11s} {path}")


COMMAND = Command(
    name="export",
    help="write a model for TF Serving, devices or other runtimes",
    description="Write a run in another form, which the name of OUT decides. The decoder is inside each of them.",
    add_arguments=add_arguments,
    run=run,
    rank=80,
)
