"""Packages that add to scn_tf from outside, as another project would install them: a module and its entry points in a folder."""

import os
import subprocess
import sys
import textwrap

from tests.conftest import REPOSITORY


def write_plugin(folder, name, source, entry_points):
    """Write a package of one module with the metadata that installing it would leave.

    Args:
        folder: what goes on the path; made if it is not there.
        name: of the module.
        source: its text; indentation that all lines share is removed.
        entry_points: by group such as ``scn_tf.commands``, the name of each offered row and the variable of the module that is it.

    Returns:
        the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(textwrap.dedent(source))
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, rows in entry_points.items():
        lines += [f"[{group}]", *(f"{row} = {name}:{variable}" for row, variable in rows.items()), ""]
    (information / "entry_points.txt").write_text("\n".join(lines))
    return folder


def scn_tf_with(folder, *arguments, check=True):
    """Run ``scn-tf`` in a process that has a folder of plug-ins on its path; returns what it printed and its status.

    Args:
        folder: of :func:`write_plugin`.
        arguments: of the command line.
        check: whether a status other than 0 fails the test.
    """
    ended = subprocess.run(
        [sys.executable, "-m", "scn_tf", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(folder)])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if check:
        assert ended.returncode == 0, ended.stderr
    return ended
