"""Train a network: `python train.py --help`."""

import sys

from scn_tf.__main__ import run

if __name__ == "__main__":
    sys.exit(run(["train", *sys.argv[1:]]))
