"""``scn-tf export``: a run in, another form of its network out."""

import argparse

from scn_tf.cli import forms, inputs
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, the target and its form."""
    inputs.add_run(parser)
    forms.add_options(parser)


def run(options: argparse.Namespace) -> None:
    """Write the export.

    Raises:
        ConfigError: options that do not fit the form.
        Error: of the run or the target.
    """
    from scn_tf import export

    form, given = forms.chosen(options)
    path = export.write(options.run_folder, options.out, form, **given)
    print(f"{form.name:11s} {path}")


COMMAND = Command(
    name="export",
    help="write a model for TF Serving, devices or other runtimes",
    description=f"Write a run in another form: {forms.described()}. The decoder is inside each of them.",
    add_arguments=add_arguments,
    run=run,
    rank=80,
)
