"""Settings of a study's runs in one file, ``settings.yaml``: those that all share, and those of each run.

It is written beside the long table of errors, and keeps the settings of runs whose folders were removed.
"""

import os
import warnings
from pathlib import Path

import yaml

from scn_tf import config
from scn_tf.errors import DataWarning
from scn_tf.messages import cut, short, visible
from scn_tf.storage import documents, files, ownership

NAME = "settings.yaml"
TITLE = "# scn-tf study: settings of the runs in errors.csv.gz, those that all share and those of each"
PLACE = "data.root"  # says nothing about a run, and belongs to one machine


def read(path: str | Path) -> dict[str, config.Config]:
    """:class:`scn_tf.config.Config` by name of the run; empty if the file does not exist.

    Raises:
        ConfigError: the file is malformed, or a setting is invalid.
    """
    if not os.path.lexists(path):
        return {}
    values = config.read_yaml(path)
    shared, runs = values.get("shared"), values.get("runs")
    if set(values) != {"shared", "runs"} or not isinstance(shared, dict) or not isinstance(runs, dict):
        raise config.ConfigError(f"{path}: expected the mappings shared and runs, received {short(values)}; remove it.")
    found = {}
    for name, own in runs.items():
        source = f"{path}, run {cut(visible(str(name)), 60)}"
        if not isinstance(own, dict):
            raise config.ConfigError(f"{source}: expected settings, received {short(own)}; remove the file.")
        found[str(name)] = config.from_dict(_nested({**shared, **own}, source), source=source)
    return found


def write(path: str | Path, settings: dict[str, config.Config]) -> None:
    """Write settings by name of the run. A file of another program is not replaced.

    Raises:
        WriteError: see :func:`scn_tf.storage.files.replaced`.
    """
    every = {name: _fields(values) for name, values in settings.items()}
    first = next(iter(every.values()), {})
    shared = {name: value for name, value in first.items() if all(other.get(name, ()) == value for other in every.values())}
    runs = {run: {name: value for name, value in fields.items() if name not in shared} for run, fields in every.items()}
    # One line per shared setting, and one per run.
    text = f"{TITLE}\n{yaml.safe_dump({'shared': shared}, sort_keys=False)}runs:\n"
    text += "".join(f"  {_flow(run)}: {_flow(fields)}\n" for run, fields in runs.items())
    if len(text) > documents.MAX_BYTES:
        warnings.warn(f"{path}: not written: this study has too many runs for one file; keep configs/.", DataWarning, stacklevel=3)
        text = f"{TITLE}\nshared: {{}}\nruns: {{}}\n"
    files.write_text(path, text, ours=is_ours)


def is_ours(path: Path) -> bool:
    """Whether :func:`write` wrote a file."""
    with open(path, "rb") as file:
        head = file.read(len(TITLE) + 1)
    return head in (b"", f"{TITLE}\n".encode()) or ownership.is_ours(path)


def _fields(values: config.Config) -> dict[str, object]:
    nested = values.model_dump(mode="json")
    flat = {f"{section}.{field}": value for section, fields in nested.items() for field, value in fields.items()}
    return {name: value for name, value in flat.items() if name != PLACE}


def _nested(flat: dict[object, object], source: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for name, value in flat.items():
        section, dot, field = str(name).partition(".")
        if not dot:
            raise config.ConfigError(f"{source}: {short(name, 60)}: expected section.field.")
        found.setdefault(section, {})[field] = value
    return found


def _flow(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=float("inf"), default_flow_style=True).removesuffix("\n").removesuffix("\n...")
