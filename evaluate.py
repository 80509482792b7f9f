"""Measure a run on an annotated split: `python evaluate.py --help`."""

import sys

from scn_tf.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
