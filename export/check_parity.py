"""Compare exports with the run they were made of: `python export/check_parity.py RUN EXPORT...`."""

import sys
from pathlib import Path

# Run as a file, Python looks for modules beside it, not in the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scn_tf.__main__ import run

if __name__ == "__main__":
    sys.exit(run(["check_parity", *sys.argv[1:]]))
