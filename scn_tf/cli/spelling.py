"""Names of arguments in messages, spelled as on the command line.

Messages of the library mark an argument or setting with backticks: "choose another `run_dir`". The command line prints the same
message with the option: "choose another --run-dir". Only marked names are replaced, since ``out`` and ``images`` are also ordinary
words.
"""

import argparse
import re
from collections.abc import Mapping

MARKED = re.compile(r"`([a-z]\w*(?:\.\w+)?)`")


def accept_hyphens(parser: argparse.ArgumentParser) -> None:
    """Accept options with hyphens or underscores: ``--run-dir``, and the former spelling ``--run_dir``.

    Help shows hyphens. Settings keep the names that they have in files.
    """
    for action in parser._actions:
        for name in filter(lambda name: name.startswith("--"), list(action.option_strings)):
            for spelling in (name[2:].replace("_", "-"), name[2:].replace("-", "_")):
                parser._option_string_actions[f"--{spelling}"] = action
        action.option_strings = [name if "." in name else name.replace("_", "-") for name in action.option_strings]


def options(parser: argparse.ArgumentParser) -> list[str]:
    """The long options of a parser as its help shows them, with leading hyphens."""
    return [name for action in parser._actions for name in action.option_strings if name.startswith("--")]


def typed_names(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Spelling of each argument of a command: ``--run-dir`` for ``run_dir``, the name in the help for a positional argument.

    Settings are included under their own names: ``data.root`` becomes ``--data.root``.
    """
    names: dict[str, str] = {}
    for action in parser._actions:
        long = next((name for name in action.option_strings if name.startswith("--")), None)
        names[action.dest] = long or str(action.metavar or action.dest)
        if long:
            names.setdefault(long[2:].replace("-", "_"), long)
    return names


def as_typed(text: str, names: Mapping[str, str]) -> str:
    """Replace every marked argument of a message by its spelling on the command line. Marks of other names stay.

    Args:
        text: message of the library.
        names: result of :func:`typed_names`.
    """
    return MARKED.sub(lambda match: names.get(match[1], match[0]), text)
