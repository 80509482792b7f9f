"""Write a run as a SavedModel for TF Serving: `python export/to_saved_model.py RUN OUT`."""

import sys
from pathlib import Path

# Run as a file, Python looks for modules beside it, not in the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scn_tf.__main__ import run

if __name__ == "__main__":
    sys.exit(run(["export", "--form", "saved_model", *sys.argv[1:]]))
