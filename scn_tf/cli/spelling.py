"""Names of arguments in messages, as a user of the command line types them.

Messages of the library mark an argument or setting with backticks: "choose another `run_dir`". The command line has the same
message with what is typed: "choose another --run-dir". Only marked names are replaced, since ``out`` and ``images`` are words too.
"""

import argparse
import re
from collections.abc import Mapping

MARKED = re.compile(r"`([a-z]\w*(?:\.\w+)?)`")


def accept_hyphens(parser: argparse.ArgumentParser) -> None:
    """Options may be spelled with hyphens or underscores: ``--run-dir`` as well as ``--run_dir``, which it was called before.

    Help shows the hyphens; settings keep the names that they have in files.
    """
    for action in parser._actions:
        for name in filter(lambda name: name.startswith("--"), list(action.option_strings)):
            for spelling in (name[2:].replace("_", "-"), name[2:].replace("-", "_")):
                parser._option_string_actions[f"--{spelling}"] = action
        action.option_strings = [name if "." in name else name.replace("_", "-") for name in action.option_strings]


def options(parser: argparse.ArgumentParser) -> list[str]:
    """The long options of a parser as its help shows them, with their hyphens in front."""
    return [name for action in parser._actions for name in action.option_strings if name.startswith("--")]


def typed_names(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What is typed for each argument of a command: of ``run_dir`` ``--run-dir``, of a positional one its name in the help.

    Settings have their own names as well: ``data.root`` is ``--data.root``, whatever the argument is called in Python.
    """
    names: dict[str, str] = {}
    for action in parser._actions:
        long = next((name for name in action.option_strings if name.startswith("--")), None)
        names[action.dest] = long or str(action.metavar or action.dest)
        if long:
            names.setdefault(long[2:].replace("-", "_"), long)
    return names


def as_typed(text: str, names: Mapping[str, str]) -> str:
    """A message with what is typed in place of every marked argument; marks of other names stay.

    Args:
        text: message of the library.
        names: of :func:`typed_names`.
    """
    return MARKED.sub(lambda match: names.get(match[1], match[0]), text)
