"""Write a run as one TFLite file: `python export/to_tflite.py RUN OUT.tflite [--quantize none|dynamic|float16|int8]`."""

import sys
from pathlib import Path

# Run as a file, Python looks for modules beside it, not in the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scn_tf.__main__ import run

if __name__ == "__main__":
    sys.exit(run(["export", "--form", "tflite", *sys.argv[1:]]))
