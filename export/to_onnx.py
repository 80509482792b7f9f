"""Write a run as one ONNX file: `python export/to_onnx.py RUN OUT.onnx`."""

import sys
from pathlib import Path

# Run as a file, Python looks for modules beside it, not in the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scn_tf.__main__ import run

if __name__ == "__main__":
    sys.exit(run(["export", "--form", "onnx", *sys.argv[1:]]))
