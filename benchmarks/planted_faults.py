"""Plant single faults into copies of real data sets, and count which of them ``scn-tf check`` finds.

    python benchmarks/planted_faults.py DATA [--faults 200] [--seed 0] [--out FOLDER]

DATA holds ``hand_xray``, ``cephalo`` and ``mouse_ct``. Every fault gets a copy of its own (links to the images, but for the changed
ones). The check runs on the whole copy; the content of unchanged images is not read again. A fault counts as found if a finding of a
fitting kind names its image, or, for a fault of the whole set, if there is a finding of a fitting kind. Findings on the untouched sets
are false alarms.
"""

import argparse
import collections
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.copied_sets import copied
from benchmarks.faults import FAULTS, SETS
from scn_tf.data.dataset import open_dataset
from scn_tf.doctor.examine import examine


def planted(sources, count, seed):
    """(set, name of the fault) of every fault: all kinds equally often, over the sets in turn."""
    rng = np.random.default_rng(seed)
    names = list(FAULTS)
    for number in range(count):
        if number % len(names) == 0:
            order = rng.permutation(len(names))
        name = names[order[number % len(names)]]
        sets = [one for one in FAULTS[name].sets if one in sources]
        yield sets[(number // len(names) + int(order[0])) % len(sets)], name


def named(image):
    """IDs that a planter returned, none for a fault of the whole set."""
    return (image,) if isinstance(image, str) else image or ()


def is_found(findings, kinds, image):
    return any(f.kind in kinds and (image is None or f.image in named(image)) for f in findings)


def first_checks(sources, memory):
    """Findings in the untouched sets, and the seconds of each check, by set."""
    alarms, seconds = {}, {}
    for name, source in sources.items():
        started = time.perf_counter()
        alarms[name] = examine(source.root, memory=memory)[0]
        seconds[name] = time.perf_counter() - started
        print(
            f"{name}: {len(alarms[name])} findings in {seconds[name]:.1f} s",
            *(f"  {f.kind}: {f.message}" for f in alarms[name]),
            sep="\n",
            flush=True,
        )
    return alarms, seconds


def checked(source, fault, rng, memory):
    """Findings in a copy of a set with a fault, and the image that has it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(source, Path(folder), rng)
        image = fault.plant(copy)
        copy.save()
        return examine(copy.root, memory=memory)[0], image


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="a part of a fault's name")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    sources = {name: open_dataset(options.data / name) for name in SETS}
    memory = {}
    alarms, seconds = first_checks(sources, memory)
    counts = collections.defaultdict(lambda: [0, 0])
    missed, besides = [], 0
    for number, (set_name, name) in enumerate(planted(sources, options.faults, options.seed)):
        if options.only and options.only not in name:
            continue
        findings, image = checked(sources[set_name], FAULTS[name], np.random.default_rng([options.seed, number]), memory)
        before = {(f.kind, f.image) for f in alarms[set_name]}
        new = [f for f in findings if (f.kind, f.image) not in before]
        found = is_found(new, FAULTS[name].kinds, image)
        counts[name][0] += found
        counts[name][1] += 1
        besides += sum(image is not None and f.image is not None and f.image not in named(image) for f in new)
        if not found:
            missed.append((set_name, name, image))
            print("missed:", number, *missed[-1], [f"{f.kind} {f.image}" for f in new[:4]], flush=True)
    found, total = (sum(pair[place] for pair in counts.values()) for place in (0, 1))
    print(f"{found} of {total} found ({100 * found / total:.1f} %), {besides} findings about other images in all copies")
    if options.out:
        record = {
            "faults": total,
            "found": found,
            "seed": options.seed,
            "kinds": counts,
            "missed": [list(map(str, one)) for one in missed],
            "alarms": {name: len(found) for name, found in alarms.items()},
            "other_images": besides,
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
        }
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "planted_faults.json").write_text(json.dumps(record, indent=1) + "\n")
        (options.out / "README.md").write_text(table(record))


def table(record):
    lines = [
        "| fault | found / planted |",
        "|---|---|",
        *(f"| {name} | {pair[0]} / {pair[1]} |" for name, pair in sorted(record["kinds"].items())),
    ]
    alarms = ", ".join(f"`{name}` {count}" for name, count in record["alarms"].items())
    times = ", ".join(f"`{name}` {value} s" for name, value in record["seconds"].items())
    return (
        "# Planted faults\n\n"
        f"`python benchmarks/planted_faults.py DATA --faults {record['faults']} --seed {record['seed']}`. Each fault has its own copy.\n\n"
        f"- Found: {record['found']} of {record['faults']} ({100 * record['found'] / record['faults']:.1f} %).\n"
        f"- Findings on the untouched sets: {alarms}.\n"
        f"- Findings about other images than the planted one, in all copies together: {record['other_images']}.\n"
        f"- Time of a first check of an untouched set: {times}.\n\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    main()
