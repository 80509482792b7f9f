"""Measure a run on an annotated split: `python evaluate.py --help`."""

import sys

from scn_tf.__main__ import run

if __name__ == "__main__":
    sys.exit(run(["evaluate", *sys.argv[1:]]))
