"""Arguments shared by several commands: a run and its data."""

import argparse
from pathlib import Path

RUN = "run folder, its model file, or name of a bundled model (scn-tf models)"


def add_run(parser: argparse.ArgumentParser, *, help: str = RUN) -> None:
    """Add RUN, as ``run_folder``."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help=help)


def add_data_root(parser: argparse.ArgumentParser, *, help: str = "data set (default: that of the run)") -> None:
    """Add ``--data.root``, as ``root``."""
    parser.add_argument("--data.root", dest="root", type=Path, metavar="DIR", help=help)


def add_data_missing(parser: argparse.ArgumentParser, *, help: str) -> None:
    """Add ``--data.missing``, as ``missing``."""
    parser.add_argument("--data.missing", dest="missing", choices=("refuse", "skip"), help=help)
