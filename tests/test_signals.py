"""SIGTERM and Ctrl-C end a command in seconds: what was found is kept, one line, status 0 or 130. SIGKILL loses an epoch at most."""

import contextlib
import csv
import dataclasses
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks import kills
from scn_tf import cli
from scn_tf.cli.command import COMMANDS
from scn_tf.cli.interruption import sigterm_as_ctrl_c
from scn_tf.cli.parser import build_parser
from scn_tf.storage import journal
from scn_tf.study import execute

LONG = {
    "train": ["train"],
    "predict": ["predict", "hand_xray", "a.png"],
    "evaluate": ["evaluate", "run"],
    "study": ["study", "study.yaml"],
    "export": ["export", "run", "out"],
    "check-parity": ["check_parity", "run", "out"],
    "combine": ["combine", "a", "b", "--out", "pair.keras"],
}


@pytest.fixture(autouse=True)
def _ctrl_c_counts():
    """Also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def replace_action(monkeypatch, name, run):
    """A command that does something else, with all else of its row."""
    monkeypatch.setitem(COMMANDS._loaded(), name, dataclasses.replace(COMMANDS[name], run=run))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", LONG)
def test_every_long_command_ends_with_its_status_and_one_line(command, number, monkeypatch, capsys):
    finished = []

    def work(options):
        try:
            os.kill(os.getpid(), number)
            time.sleep(30)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # of the terminal and of the process that started this one: no second wish
            time.sleep(0.05)
            finished.append(command)

    replace_action(monkeypatch, command, work)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    saved = number == signal.SIGTERM and command == "study"
    assert cli.main(LONG[command]) == (0 if saved else 130)
    remedy = COMMANDS[command].after_interruption
    assert capsys.readouterr().err == f"{'stopped' if saved else 'error: interrupted'}{'; ' if remedy else ''}{remedy}.\n"
    assert finished == [command]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_only_what_can_go_on_ends_with_status_0(tmp_path):
    parser = build_parser("scn-tf")

    def saved(*arguments):
        options = parser.parse_args(arguments)
        return options._command.saved(options)

    run, table = tmp_path / "run", tmp_path / "found.csv"
    assert not saved("train", "--run-dir", str(run))
    assert not saved("predict", "hand_xray", "a.png", "--out", str(table))
    run.mkdir()
    (run / "config.yaml").touch()
    journal.path_for(table).touch()
    assert saved("train", "--run-dir", str(run))
    assert not saved("train")  # the same command makes another folder
    assert saved("predict", "hand_xray", "a.png", "--out", str(table))
    assert saved("study", "study.yaml")
    assert not saved("study", "study.yaml", "--run", "3")  # a cluster takes 0 for done
    assert not saved("evaluate", "run")


STUBBORN = """
import sys, time
from scn_tf.cli import interruption
interruption.SECONDS, interruption.APART = float(sys.argv[1]), dict.fromkeys(interruption.APART, 0.2)
with interruption.sigterm_as_ctrl_c(lambda: 7):
    try:
        print(flush=True)
        time.sleep(100)
    finally:
        print(flush=True)
        time.sleep(100)
"""


@pytest.mark.parametrize("again", [None, signal.SIGTERM, signal.SIGINT])
def test_what_does_not_end_in_time_or_is_told_again_ends_at_once(again):
    command = [sys.executable, "-c", STUBBORN, "0.5" if again is None else "90"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.stdout.readline()
        if again is not None:
            time.sleep(0.5)
            process.send_signal(again)
        assert process.wait(60) == 7
        assert process.stderr.read() == b"error: interrupted, and ended before all was saved.\n"


@pytest.mark.parametrize("command", [["serve", "out"], ["demo", "run"]])
def test_servers_keep_their_own_handling(command, monkeypatch):
    replace_action(monkeypatch, command[0], lambda options: 0 if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL else 1)
    assert cli.main(command) == 0


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with sigterm_as_ctrl_c():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_may_run_a_command():
    seen = []

    def run():
        with sigterm_as_ctrl_c():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_a_prediction_that_is_stopped_keeps_what_it_found(run_2d, hands_2d, tmp_path):
    source = hands_2d / "images" / "hand_007.png"
    (tmp_path / "images").mkdir()
    for number in range(3000):
        (tmp_path / "images" / f"image_{number:04d}.png").symlink_to(source)
    table, overlays = tmp_path / "found.csv", tmp_path / "overlays"
    # A minute to save: this machine may be busy.
    program = "import sys; from scn_tf.cli import interruption; interruption.SECONDS = 60; from scn_tf.__main__ import run; sys.exit(run())"
    command = [sys.executable, "-c", program, "predict", str(run_2d), str(tmp_path / "images")]
    with subprocess.Popen([*command, "--out", str(table), "--overlay", str(overlays)], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while len(list(overlays.glob("image_*.png"))) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=90)[1]
    assert process.returncode == 0, error
    assert error == "stopped; --resume continues with the images that are left.\n"
    found = {row["id"] for row in csv.DictReader(table.read_text().splitlines())}
    assert {path.stem for path in overlays.glob("image_*.png")} <= found
    assert 3 <= len(found) < 3000


SLEEPER = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print(flush=True); time.sleep(100)"


def test_a_study_that_is_stopped_stops_its_runs_and_lets_them_save():
    stop = threading.Event()
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        threading.Timer(0.2, stop.set).start()
        assert execute._waited_for(process, stop) == 7


def test_a_single_run_of_a_study_is_stopped_with_it():
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
            execute._waited_for(process, None)
        assert process.returncode == 7


def seconds_until_interrupted(garbage=lambda: None):
    """SIGTERM comes in a callback of the garbage collector. JAX has such a callback, and Python drops what it raises."""
    raised, started = [], time.monotonic()

    def callback(*_):
        if not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGTERM)

    def collect():
        with sigterm_as_ctrl_c():
            garbage()
            gc.collect()
            time.sleep(20)

    gc.callbacks.append(callback)
    try:
        with pytest.raises(KeyboardInterrupt):
            collect()
    finally:
        gc.callbacks.remove(callback)
    assert raised
    return time.monotonic() - started


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def test_an_interruption_in_a_callback_of_the_garbage_collector_ends_a_wait_at_once(ctrl_c):
    signal.signal(signal.SIGINT, ctrl_c)
    assert seconds_until_interrupted() < 15


def test_it_is_not_lost_in_what_the_garbage_collector_finalizes_meanwhile():
    """TensorFlow has objects whose ``__del__`` drops every exception."""

    class Stubborn:
        def __init__(self):
            self.itself = self

        def __del__(self):
            with contextlib.suppress(BaseException):
                time.sleep(0.3)

    assert seconds_until_interrupted(Stubborn) < 15


def test_a_signal_just_before_a_wait_which_does_not_end_it_is_sent_again(monkeypatch):
    sent, kill = [], signal.pthread_kill

    def late(thread, number):
        sent.append(number)
        if len(sent) > 1:  # as if the first had come before the wait began
            kill(thread, number)

    monkeypatch.setattr(signal, "pthread_kill", late)
    assert seconds_until_interrupted() < 15
    time.sleep(0.2)
    assert len(sent) == 2  # nothing is sent after it was handled


def gone(process):
    """Whether a process that is no child of this one has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


PARENT = """
import subprocess, sys
from scn_tf.environment import parent
child = subprocess.Popen([sys.executable, "-c", {!r}], env={{**__import__("os").environ, **parent.variables()}}, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""
BUSY = """
import os, time
from scn_tf.environment import parent
parent.end_with_it(lambda: os._exit(1))
print(flush=True)
time.sleep(100)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc: this system has none")
def test_a_process_that_was_started_does_not_outlive_a_killed_one():
    with subprocess.Popen([sys.executable, "-c", PARENT.format(BUSY)], stdout=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        assert not gone(child)
        process.kill()
    deadline = time.monotonic() + 20
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert gone(child)


def test_a_training_that_is_stopped_in_an_epoch_ends_as_if_it_was_not(tmp_path, whole):
    run, command = tmp_path / "run", kills.training(tmp_path, whole)
    for number, status, enough in ((signal.SIGTERM, 0, 2), (signal.SIGINT, 130, 5)):
        process = kills.started(command)
        assert kills.wait_for(lambda: kills.epochs(run) >= enough, process)  # noqa: B023  (asked at once)
        since = time.monotonic()
        process.send_signal(number)
        assert process.wait(60) == status
        assert time.monotonic() - since < 30  # 10 on a machine that does nothing else
        assert enough <= kills.epochs(run) < kills.EPOCHS
        command = [*kills.training(tmp_path, whole), "--resume"]
    assert kills.started(command).wait() == 0
    assert kills.differences(whole / "run", run) == []


def test_a_training_and_a_prediction_that_are_killed_end_as_if_they_were_not(tmp_path, whole):
    assert kills.trainings_killed(tmp_path, whole, kills=2, seed=1) == []
    assert kills.predictions_killed(tmp_path, whole, kills=1, seed=1) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder of a training and a prediction that nothing disturbed."""
    return kills.undisturbed(tmp_path_factory.mktemp("whole"))
