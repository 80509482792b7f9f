"""Writing of a versioned SavedModel for TF Serving."""

import json
import os
from pathlib import Path

import tensorflow as tf

from scn_tf.export.forms.saved_model import SAVED_MODEL
from scn_tf.export.forms.saved_model.reading import check_name
from scn_tf.export.signatures import load_service, signatures
from scn_tf.export.warmup import write_warmup
from scn_tf.export.writing import write
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.info import ENTRY
from scn_tf.storage import checksums, files
from scn_tf.types import PathName


def export_saved_model(run: PathName, out: PathName) -> Path:
    """Write a versioned SavedModel for TF Serving.

    Args:
        run: run folder or ``.keras`` file.
        out: folder; the model is written to ``out/1``, or the next free number.

    Returns:
        path of the version's folder.

    Raises:
        CheckpointError: the run holds no model.
        WriteError: the folder cannot be written.
    """
    return write(run, out, SAVED_MODEL)


def write_version(run: PathName, out: Path) -> Path:
    """See :class:`scn_tf.export.forms.ExportForm`."""
    check_folder(out)
    service, info = load_service(run)
    try:
        versions = _versions(out)
        # TF Serving watches this folder: a version must appear there whole.
        with files.temporary_folder(out, "export") as temporary:
            asset = temporary / ENTRY
            asset.write_text(json.dumps({**info.public().to_json(), **checksums.STATEMENT}, indent=1))
            service.metadata = tf.saved_model.Asset(str(asset))
            tf.saved_model.save(service, str(temporary / "model"), signatures=signatures(service, info))
            checksums.fill_folder(temporary / "model")
            write_warmup(temporary / "model")
            files.flush_folder(temporary / "model")
            target = out / str(max(versions, default=0) + 1)
            os.replace(temporary / "model", target)
        files.flush_listing(out)
    except files.WriteError:
        raise
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow says where and, at the end, why.
        reason = getattr(error, "strerror", None) or files.first_line(str(error).rsplit("; ", 1)[-1])
        raise files.WriteError(f"{out}: cannot be written ({reason}).") from None
    return target


def check_folder(out: Path) -> None:
    """Check before long work that an export can be written to a folder, and create the folder.

    Raises:
        WriteError: the folder holds a run, other files or exports of another program, has a name that is not UTF-8, or cannot be created.
    """
    check_name(out, files.WriteError)
    try:
        if RunFolder(out).settings.is_file():
            raise files.WriteError(f"{out}: is a run folder; choose another folder for the export.")
        _versions(out)
    except files.WriteError:
        raise
    except OSError as error:
        raise files.WriteError(f"{out}: cannot be written ({error.strerror or error}).") from None


def _versions(out: Path) -> list[int]:
    """Numbers of the versions in a folder for exports, which is created if missing.

    Raises:
        WriteError: the folder holds other files, or exports of another program.
        OSError: the folder cannot be created or listed.
    """
    out.mkdir(parents=True, exist_ok=True)
    inside = [path for path in out.iterdir() if not path.name.startswith(".")]
    numbered = [path for path in inside if path.name.isdecimal()]
    foreign = next((path for path in numbered if not _may_be_ours(path)), None)
    if foreign is not None:
        raise files.WriteError(f"{foreign}: was not written by scn_tf; choose another folder for the export than {out}.")
    if inside and not numbered:
        raise files.WriteError(f"{out}: holds other things ({inside[0].name}); choose another folder for the export.")
    return [int(path.name) for path in numbered]


def _may_be_ours(version: Path) -> bool:
    return version.is_dir() and ((version / "assets" / ENTRY).is_file() or not any(version.iterdir()))
