"""Options for settings: one for each field of a configuration, and short names of a few."""

import argparse

from scn_tf import config

SHORT = {"train.minutes": "minutes"}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--section.field`` for every setting, by section."""
    sections = {name: parser.add_argument_group(f"settings, section {name}", config.about(name)) for name in config.Config.model_fields}
    for name, field in config.field_names().items():
        allowed = config.allowed_values(field)
        hint = f" [{'|'.join(allowed)}]" if allowed else ""
        default = "" if field.default is None else f" (default: {field.default})"
        text = f"{config.describe(field)}{hint}{default}".replace("%", "%%")
        names = [f"--{spelling}" for spelling in (name, SHORT.get(name)) if spelling]
        section = sections[name.split(".")[0]]
        section.add_argument(*names, dest=name, metavar="VALUE", nargs="+", default=argparse.SUPPRESS, help=text)


def given(options: argparse.Namespace) -> dict[str, str]:
    """Text of each setting that was given as an option, by its ``section.field``."""
    return {name: " ".join(text) for name, text in vars(options).items() if name in config.field_names()}
