"""Bundled models: a ``.keras`` file and its card, ``NAME.md``, beside this module."""

import json
import zipfile
from pathlib import Path

from scn_tf.runs.info import ENTRY, ModelInfo

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of all models."""
    return sorted(path.stem for path in FOLDER.glob("*.keras"))


def find(name: str | Path) -> Path | None:
    """File of a bundled model, or None. Callers first look for a file, run or export of that name."""
    return FOLDER / f"{name}.keras" if str(name) in names() else None


def describe(name: str) -> ModelInfo:
    """Facts of a model. Unlike :mod:`scn_tf.runs.checkpoints`, this does not need TensorFlow."""
    with zipfile.ZipFile(FOLDER / f"{name}.keras") as archive:
        return ModelInfo.from_json(json.loads(archive.read(ENTRY)))


def card(name: str) -> str:
    """Text of a model's card: data, figures, limits."""
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")
