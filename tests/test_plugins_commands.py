"""What other packages add: by the public registration call, and by entry points of an installed package."""

import dataclasses

import pytest

import scn_tf
from scn_tf import cli
from scn_tf.cli.command import COMMANDS
from tests.plugins import scn_tf_with, write_plugin

TOY_COMMAND = """
    import scn_tf

    def add_arguments(parser):
        parser.add_argument("--loud_voice", action="store_true", help="in capitals")

    def run(options):
        if options.loud_voice:
            raise scn_tf.ConfigError("`loud_voice`: is not allowed here.")
        print("hello from outside")

    HELLO = scn_tf.Command(name="hello", help="greet the user", add_arguments=add_arguments, run=run, needs_tensorflow=False)
"""


@pytest.fixture
def toy_command():
    """A command, registered for one test; ``asked``: the options that it was run with."""
    asked = []

    def add_arguments(parser):
        parser.add_argument("--number", type=int, default=3, help="what to return")

    def run(options):
        asked.append(options)
        return options.number

    row = scn_tf.Command(
        name="count", help="return a number", add_arguments=add_arguments, run=run, aliases=("tally",), needs_tensorflow=False
    )
    scn_tf.register_command(row)
    yield asked
    COMMANDS.unregister("count")


def test_a_registered_command_is_listed_and_runs(toy_command, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    assert "count (tally)       return a number" in capsys.readouterr().out
    assert cli.main(["count"]) == 3
    assert cli.main(["tally", "--number", "0"]) == 0
    assert [options.number for options in toy_command] == [3, 0]
    assert cli.main(["count", "--nubmer", "1"]) == 2
    assert "--nubmer: unknown argument; did you mean --number?" in capsys.readouterr().err


def test_what_is_registered_must_be_a_command_with_a_name_of_its_own(toy_command):
    with pytest.raises(scn_tf.ConfigError, match="command: expected a Command, received str"):
        scn_tf.register_command("count")
    with pytest.raises(scn_tf.ConfigError, match="command train: is already registered"):
        scn_tf.register_command(dataclasses.replace(COMMANDS["train"], help="another"))


def test_a_command_of_another_package_is_listed_and_runs(tmp_path):
    folder = write_plugin(tmp_path, "toy_greeting", TOY_COMMAND, {"scn_tf.commands": {"hello": "HELLO"}})
    assert "hello               greet the user" in scn_tf_with(folder, "--help").stdout
    assert scn_tf_with(folder, "hello").stdout == "hello from outside\n"
    refused = scn_tf_with(folder, "hello", "--loud-voice", check=False)
    assert (refused.returncode, refused.stderr) == (1, "error: --loud-voice: is not allowed here.\n")


def test_a_package_whose_command_cannot_be_imported_leaves_the_others_usable(tmp_path):
    folder = write_plugin(tmp_path, "toy_broken", "import no_such_library", {"scn_tf.commands": {"broken": "BROKEN"}})
    listed = scn_tf_with(folder, "configs")
    assert "hand_xray" in listed.stdout
    assert listed.stderr == (
        "warning: command broken: the plug-in that offers it cannot be imported (ModuleNotFoundError: No module named 'no_such_library').\n"
    )
