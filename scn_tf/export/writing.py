"""A run in any form: what all forms share when they are written."""

from pathlib import Path

from scn_tf.export import choice
from scn_tf.export.forms import ExportForm
from scn_tf.storage import files
from scn_tf.systems import opening
from scn_tf.types import PathName


def write(run: PathName, out: PathName, form: ExportForm | None = None, **options: object) -> Path:
    """Write a run in a form; a file appears whole or not at all.

    Args:
        run: run folder or model file.
        out: file to write, replaced if scn_tf wrote it, or folder.
        form: that which the name of ``out`` means if None.
        options: those of the form.

    Returns:
        path of what was written.

    Raises:
        CheckpointError: no network in the run.
        ConfigError: an ending that is no form's.
        ConversionError: an option that the form does not have, or a network that it cannot hold.
        WriteError: the target cannot be written.
    """
    out = Path(out)
    form = form or choice.form_of(out)
    taken = choice.checked(form, out, options)
    opening.network_file(run)
    if not form.suffix:
        return form.write(run, out, **taken)
    files.check_writable(out, ours=form.is_ours)
    with files.replaced(out, ours=form.is_ours) as temporary:
        form.write(run, temporary, **taken)
    return out
