"""Writing of runs in any form: the parts that all forms share."""

from pathlib import Path

from scn_tf.export import choice
from scn_tf.export.forms import ExportForm
from scn_tf.storage import files
from scn_tf.systems import opening
from scn_tf.types import PathName


def write(run: PathName, out: PathName, form: ExportForm | None = None, **options: object) -> Path:
    """Write a run in a form. A file is written completely or not at all.

    Args:
        run: run folder or model file.
        out: file to write, which is replaced if scn_tf wrote it, or folder.
        form: form to write; None: chosen by the name of ``out``.
        options: options of the form.

    Returns:
        path of the result.

    Raises:
        CheckpointError: the run holds no network.
        ConfigError: no form has the ending.
        ConversionError: the form does not have an option, or cannot represent the network.
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
