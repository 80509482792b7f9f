"""``scn-tf check``: find mistakes in a data set."""

import argparse
from pathlib import Path

from scn_tf.cli import spelling
from scn_tf.cli.command import Command
from scn_tf.cli.reporting import fail

NOTHING, FOUND, NOT_RUN = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder, and the files to write."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="data set: dataset.yaml, images/, landmarks.csv, splits/")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures of what was found, for a browser")


def run(options: argparse.Namespace) -> int:
    """Check a folder and print what was found. Returns the exit status: 0 nothing, 1 something, 2 could not run."""
    from scn_tf.errors import Error

    try:
        return _check(options)
    except Error as error:
        return fail(spelling.as_typed(str(error), {}), status=NOT_RUN)


def _check(options: argparse.Namespace) -> int:
    import shutil
    import warnings

    from scn_tf.doctor import report
    from scn_tf.doctor.examine import examine
    from scn_tf.doctor.page import as_page
    from scn_tf.errors import DataWarning
    from scn_tf.messages import cut, visible
    from scn_tf.storage import files

    for path, endings, name in ((options.json, (".json",), "--json"), (options.html, (".html", ".htm"), "--html")):
        if path is not None:
            files.check_ending(path, endings, name)
            files.check_writable(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # they become findings
        findings, inspection = examine(options.folder, progress=True)
    if options.json is not None:
        files.write_text(options.json, report.as_json(findings))
    if options.html is not None:
        files.write_text(options.html, as_page(findings, inspection, options.folder.resolve().name))
    width = max(60, min(120, shutil.get_terminal_size((100, 20)).columns))
    print(report.as_text(findings, cut(visible(str(options.folder)), 200), width=width))
    if options.html is not None:
        print(f"\npictures  {options.html}")
    return FOUND if findings else NOTHING


COMMAND = Command(
    name="check",
    help="find mistakes in a data set",
    description=(
        "Look for mistakes in a data set before a training: damaged files, duplicates, wrong frames and units, exchanged or displaced "
        "landmarks, splits that overlap. Prints each kind with its fix, the worst first. "
        "Ends with status 0 if nothing is found, 1 if something is found, and 2 if it could not run."
    ),
    examples=("check FOLDER", "check FOLDER --html check.html --json check.json"),
    add_arguments=add_arguments,
    run=run,
    rank=5,
)
