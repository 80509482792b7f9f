"""SIGTERM is Ctrl-C: what was found is kept, one line, status 130."""

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

import pytest

from scn_tf import cli
from scn_tf.cli.command import COMMANDS
from scn_tf.cli.interruption import sigterm_as_ctrl_c
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


def replace_action(monkeypatch, name, run):
    """A command that does something else, with all else of its row."""
    monkeypatch.setitem(COMMANDS._loaded(), name, dataclasses.replace(COMMANDS[name], run=run))


@pytest.mark.parametrize("command", LONG)
def test_every_long_command_ends_with_status_130_and_one_line(command, monkeypatch, capsys):
    saved = []

    def work(options):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # an impatient scheduler does not end the saving
            time.sleep(0.05)
            saved.append(command)

    replace_action(monkeypatch, command, work)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert cli.main(LONG[command]) == 130
    remedy = COMMANDS[command].after_interruption
    assert capsys.readouterr().err == f"error: interrupted{'; ' if remedy else ''}{remedy}.\n"
    assert saved == [command]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


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
    command = [sys.executable, "-m", "scn_tf", "predict", str(run_2d), str(tmp_path / "images")]
    with subprocess.Popen([*command, "--out", str(table), "--overlay", str(overlays)], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while len(list(overlays.glob("image_*.png"))) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 130, error
    assert error == "error: interrupted; --resume continues with the images that are left.\n"
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


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def test_an_interruption_in_a_callback_of_the_garbage_collector_ends_a_wait_at_once(ctrl_c):
    """JAX has such a callback, and Python drops what it raises."""
    raised, before, started = [], signal.signal(signal.SIGINT, ctrl_c), time.monotonic()

    def callback(*_):
        if not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGTERM)

    def collect():
        with sigterm_as_ctrl_c():
            gc.collect()
            time.sleep(20)

    gc.callbacks.append(callback)
    try:
        with pytest.raises(KeyboardInterrupt):
            collect()
    finally:
        gc.callbacks.remove(callback)
        signal.signal(signal.SIGINT, before)
    assert raised
    assert time.monotonic() - started < 15


def test_it_is_not_lost_in_what_the_garbage_collector_finalizes_meanwhile():
    """TensorFlow has objects whose ``__del__`` drops every exception."""
    raised = []

    class Stubborn:
        def __init__(self):
            self.itself = self

        def __del__(self):
            with contextlib.suppress(BaseException):
                time.sleep(0.3)

    def callback(*_):
        if not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGTERM)

    def collect():
        with sigterm_as_ctrl_c():
            Stubborn()
            gc.collect()
            time.sleep(20)

    gc.callbacks.append(callback)
    try:
        with pytest.raises(KeyboardInterrupt):
            collect()
    finally:
        gc.callbacks.remove(callback)
    assert raised


def test_a_signal_just_before_a_wait_which_does_not_end_it_is_sent_again(monkeypatch):
    sent, kill = [], signal.pthread_kill

    def late(thread, number):
        sent.append(number)
        if len(sent) > 1:  # as if the first had come before the wait began
            kill(thread, number)

    monkeypatch.setattr(signal, "pthread_kill", late)
    raised, started = [], time.monotonic()

    def callback(*_):
        if not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGTERM)

    def collect():
        with sigterm_as_ctrl_c():
            gc.collect()
            time.sleep(20)

    gc.callbacks.append(callback)
    try:
        with pytest.raises(KeyboardInterrupt):
            collect()
    finally:
        gc.callbacks.remove(callback)
    assert time.monotonic() - started < 15
    time.sleep(0.2)
    assert len(sent) == 2  # nothing is sent after it was handled
