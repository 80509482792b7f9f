"""Find landmarks with a remote TensorFlow Serving: `python export/client.py IMAGE... --rest http://127.0.0.1:8501`."""

import sys
from pathlib import Path

# Run as a file, Python looks for modules beside it, not in the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scn_tf.__main__ import run

if __name__ == "__main__":
    sys.exit(run(["client", *sys.argv[1:]]))
