"""``scn-tf models``: list the bundled models, or print the card of one."""

import argparse

from scn_tf import config
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name of one model."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="show this model's card: data, figures, limits")


def run(options: argparse.Namespace) -> None:
    """List all models, or print one card.

    Raises:
        ConfigError: the name is unknown.
    """
    from scn_tf.runs import pretrained

    if options.name is not None:
        if options.name not in pretrained.names():
            raise config.ConfigError(f"models: {options.name}: unknown model{config.nearest(options.name, pretrained.names())}")
        print(pretrained.card(options.name), end="")
        return
    for name in pretrained.names():
        about = pretrained.describe(name)
        size = " x ".join(map(str, about.image_size))
        print(f"{name:16s} {len(about.landmarks)} landmarks, {about.dims}D, {size} pixels; scn-tf models {name} shows its card")


COMMAND = Command(
    name="models", help="list the bundled models", add_arguments=add_arguments, examples=("models", "models hand_xray"), run=run, rank=50
)
