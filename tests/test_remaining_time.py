"""How long it will still take, said now and then."""

import io
import re
import time

import pytest

from scn_tf import train_run
from scn_tf.training import callbacks, remaining
from tests.conftest import small_config

CLOCK = {0: "0:00", 7.4: "0:07", 59.6: "1:00", 750: "12:30", 11100: "3:05:00", -3: "0:00"}


@pytest.mark.parametrize(("seconds", "text"), CLOCK.items())
def test_times_read_as_on_a_clock(seconds, text):
    assert remaining.clock(seconds) == text


def test_what_ends_a_training_first_counts():
    assert remaining.estimate(30, 2.0, None) == (60.0, "epochs")
    assert remaining.estimate(30, 2.0, 61.0) == (60.0, "epochs")
    assert remaining.estimate(30, 2.0, 59.0) == (59.0, "train.minutes")
    assert remaining.estimate(30, 2.0, -5.0) == (0.0, "train.minutes")


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def simulated(monkeypatch, capsys, *, epochs, steps, seconds, minutes=None, bar=False, first_extra=0.0, steps_done=0):
    """Lines of a training whose steps take so long each; the very first takes more."""
    clock = Clock(monkeypatch)
    started = clock.now - steps_done * seconds
    schedule = callbacks.Schedule(
        highest=1e-3, decay="cosine", epochs=epochs, minutes=minutes, steps=steps, started=started, steps_done=steps_done
    )
    told = remaining.RemainingTime(schedule, bar=bar)
    told.on_train_begin()
    for epoch in range(steps_done // steps, epochs):
        told.on_epoch_begin(epoch)
        for step in range(steps):
            clock.now += seconds + (first_extra if epoch == step == 0 else 0.0)
            schedule.steps_done += 1
            told.on_train_batch_end(step)
    return re.findall(r"Time +(\S+) elapsed, about (\S+) remaining, ended by (\S+)\n", capsys.readouterr().out)


def test_lines_come_between_epochs_and_are_right_without_the_building_of_the_graphs(monkeypatch, capsys):
    lines = simulated(monkeypatch, capsys, epochs=5, steps=7, seconds=4.0, first_extra=60.0)
    assert [line[0] for line in lines] == ["1:28", "1:56", "2:24", "2:52"]
    assert [line[1] for line in lines[1:]] == ["1:24", "0:56", "0:28"]
    assert {line[2] for line in lines} == {"epochs"}


def test_the_budget_counts_where_it_ends_first(monkeypatch, capsys):
    lines = simulated(monkeypatch, capsys, epochs=50, steps=5, seconds=4.0, minutes=2.0)
    assert lines[:3] == [("0:20", "1:40", "train.minutes"), ("0:40", "1:20", "train.minutes"), ("1:00", "1:00", "train.minutes")]


def test_short_epochs_are_not_a_line_each(monkeypatch, capsys):
    lines = simulated(monkeypatch, capsys, epochs=300, steps=2, seconds=0.5)
    assert len(lines) == 15  # one in twenty seconds of five minutes


@pytest.mark.parametrize(("bar", "expected"), [(False, ["2:00", "4:00", "5:00", "7:00"]), (True, ["5:00"])])
def test_a_long_epoch_speaks_in_between_where_no_bar_would_break(bar, expected, monkeypatch, capsys):
    lines = simulated(monkeypatch, capsys, epochs=2, steps=30, seconds=10.0, bar=bar)
    assert [line[0] for line in lines][: len(expected)] == expected


def test_a_resumed_run_reckons_with_what_it_does_now(monkeypatch, capsys):
    lines = simulated(monkeypatch, capsys, epochs=6, steps=3, seconds=10.0, steps_done=6)
    assert lines[0] == ("1:30", "1:30", "epochs")


def test_a_training_says_it(hands_2d, tmp_path, capsys):
    train_run.train(small_config(hands_2d), tmp_path / "run")
    out = capsys.readouterr().out
    assert re.search(r"^Time +\d+:\d\d elapsed, about \d+:\d\d remaining, ended by epochs\nEpoch 2/2$", out, re.MULTILINE), out


def test_forests_and_studies_say_it_where_no_bar_is_seen(monkeypatch):
    clock, file = Clock(monkeypatch), io.StringIO()
    lines = remaining.Lines("Study", 8, "runs", done=2, file=file)
    for seconds in (60, 5, 30, 60, 60, 60):
        clock.now += seconds
        lines.update()
    assert file.getvalue().splitlines()[:2] == [
        "Study: 3 of 8 runs, 1:00 elapsed, about 5:00 remaining",
        "Study: 5 of 8 runs, 1:35 elapsed, about 1:35 remaining",
    ]
    assert file.getvalue().splitlines()[-1] == "Study: 8 of 8 runs, 4:35 elapsed"
