#!/usr/bin/env bash
# Build sdist and wheel, install the wheel elsewhere, and use it in an empty folder: tools/check_wheel.sh [--quick]
# --quick leaves the training out, and what needs one. PYTHON names an interpreter with the extras all and test (default: .venv/bin/python).
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=${PYTHON:-$ROOT/.venv/bin/python}
PYTHON=$(command -v "$PYTHON")
PYTHON=$(cd "$(dirname "$PYTHON")" && pwd)/$(basename "$PYTHON")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'echo "check_wheel: failed in line $LINENO: $BASH_COMMAND" >&2' ERR
# The checkout must not be found in place of the wheel.
unset PYTHONPATH PYTHONHOME
export PYTHONSAFEPATH=1

step() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

step "build sdist and wheel"
(cd "$ROOT" && "$PYTHON" -m build --no-isolation --outdir "$WORK/dist" . >"$WORK/build.log" 2>&1) || { tail -30 "$WORK/build.log"; exit 1; }
"$PYTHON" -m twine --no-color check --strict "$WORK"/dist/*

step "install the wheel, with the dependencies of $PYTHON"
"$PYTHON" -m venv --without-pip "$WORK/venv"
"$PYTHON" -m pip --quiet --disable-pip-version-check --python "$WORK/venv/bin/python" install --no-deps --no-index "$WORK"/dist/*.whl
# A line in a .pth file is a folder to look in, whose own .pth files are not read: an editable scn_tf there stays out.
"$PYTHON" -c 'import sys; print("\n".join(p for p in sys.path if p.endswith(("site-packages", "dist-packages"))))' \
  >"$("$WORK/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dependencies.pth"
PATH=$WORK/venv/bin:$PATH
mkdir "$WORK/empty" && cd "$WORK/empty"

step "every file of the package is there, and it is the wheel's"
python - "$ROOT" "$WORK/venv" <<'PROGRAM'
import sys
from pathlib import Path

import scn_tf

checkout, installed = Path(sys.argv[1]) / "scn_tf", Path(scn_tf.__file__).parent
assert Path(sys.argv[2]).resolve() in installed.resolve().parents, f"{installed} is not the wheel's"
listed = [{p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file() and p.suffix != ".pyc"} for f in (checkout, installed)]
assert listed[0] == listed[1], f"only in the checkout or only in the wheel: {sorted(listed[0] ^ listed[1])}"
assert {"index.html", "app.js", "package-lock.json"} <= {path.name for path in (installed / "serving" / "web").iterdir()}
PROGRAM

step "configurations and deployment files"
scn-tf --version
scn-tf configs
scn-tf configs hand_xray_quick >mine.yaml
scn-tf deploy deployment
test -s deployment/docker-compose.yml
if [ "${1:-}" = --quick ]; then
  step "done"
  exit
fi

step "train on synthetic hands"
scn-tf train --config hand_xray_quick --run-dir run --model.image_size 64,48 --model.filters 8 --train.epochs 1
scn-tf evaluate run --split val

step "export, compare, predict"
scn-tf export run served
scn-tf export run hand.tflite
scn-tf check-parity run served hand.tflite --images 5
images=(synthetic_hands*/images/*1.png)
scn-tf predict run "${images[@]}" --out keras.csv
scn-tf predict hand.tflite "${images[@]}" --out tflite.csv
scn-tf predict hand_xray "${images[@]}" --out bundled.csv --overlay pictures
for table in keras.csv tflite.csv bundled.csv; do test "$(wc -l <$table)" -gt 100; done

step "studies: a bundled one, and a copy elsewhere"
scn-tf study hand_xray --list | tail -1
mkdir copied && scn-tf configs studies/hand_xray_official >copied/mine.yaml
scn-tf study copied/mine.yaml --list | tail -1
step "done"
