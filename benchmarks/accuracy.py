"""Train a configuration on real data and evaluate it: `python benchmarks/accuracy.py hand_xray_quick ROOT`."""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import scn_tf  # noqa: F401
from benchmarks import machine
from scn_tf import config, evaluate_run, train_run


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--run-dir", type=Path, help="default: a temporary folder")
    options = parser.parse_args()
    started = time.monotonic()
    run = options.run_dir or Path(tempfile.mkdtemp()) / options.config.stem
    train_run.train(config.from_dict(config.override(config.read_yaml(options.config), {"data.root": str(options.root)})), run)
    summary, _ = evaluate_run.evaluate(run, "val")
    minutes = (time.monotonic() - started) / 60
    print(evaluate_run.table(summary))
    result = {
        "config": options.config.name,
        "minutes": round(minutes, 2),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "machine": machine.describe(),
        **summary,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
