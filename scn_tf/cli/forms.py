"""Options and help texts that follow from the forms of export."""

import argparse
from pathlib import Path

from scn_tf.export import choice
from scn_tf.export.forms import FORMS
from scn_tf.runs.folder import MODELS

SPELLED = {"root": "data.root"}  # keyword of a form -> option, where that is a setting
DEST = "form_option_"  # in front of the names of parsed options, whose keywords another argument might have


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the target, its form and the options of all forms."""
    parser.add_argument("out", type=Path, metavar="OUT", help=described())
    parser.add_argument("--form", choices=tuple(FORMS), help="default: by the name of OUT")
    for name, offered in choice.options().items():
        option = offered[0][1]
        help_text = f"{choice.listed(form.title for form, _ in offered)}: {option.description}".replace("%", "%%")
        flag, dest = f"--{SPELLED.get(name, name)}", f"{DEST}{name}"
        if option.kind == "choice":
            values = tuple(dict.fromkeys(value for _, one in offered for value in one.choices))
            parser.add_argument(flag, dest=dest, choices=values, help=f"{help_text} (default: {option.default})")
        elif option.kind == "switch":
            parser.add_argument(flag, dest=dest, action="store_true", default=None, help=help_text)
        elif option.kind == "folder":
            parser.add_argument(flag, dest=dest, type=Path, metavar="DIR", help=help_text)


def given(options: argparse.Namespace) -> dict[str, object]:
    """Options of the form that the command line gives, by keyword."""
    return {name.removeprefix(DEST): value for name, value in vars(options).items() if name.startswith(DEST) and value is not None}


def described() -> str:
    """Every form with its target and purpose."""
    return "; ".join(
        f"{f'FILE{form.suffix}' if form.suffix else 'a folder'}: {form.title}, for {form.description}" for form in choice.rows()
    ).replace("%", "%%")


def models() -> str:
    """The models that can be opened, for help texts: "run folder, .keras, ... file, or exported SavedModel"."""
    endings = [*dict.fromkeys(Path(name).suffix for name in MODELS), *choice.endings()]
    exported = "".join(f", or exported {title}" for title in choice.folder_titles())
    return f"run folder, {choice.listed(endings, 'or')} file{exported}"


def exports() -> str:
    """The kinds of export, for help texts: "SavedModel folders, .tflite and .onnx files"."""
    folders = [f"{title} folders" for title in choice.folder_titles()]
    return ", ".join([*folders, f"{choice.listed(choice.endings())} files"])
