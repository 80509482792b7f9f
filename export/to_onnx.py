"""Write a run as one ONNX file: `python export/to_onnx.py RUN OUT.onnx`."""

import sys
from pathlib import Path

# Run as a file, Python looks for modules beside it, not in the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scn_tf.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", "--form", "onnx", *sys.argv[1:]]))
