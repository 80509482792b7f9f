"""Lines that report the remaining time of long work at intervals."""

import sys
import time
from typing import TextIO

from scn_tf.environment.backend import keras
from scn_tf.training.callbacks import Schedule
from scn_tf.types import Logs

LINE_SECONDS = 20  # at least, between two lines at the ends of epochs or other pieces
LONG_SECONDS = 120  # within an epoch, where no bar moves


def clock(seconds: float) -> str:
    """``0:07``, ``12:30``, ``3:05:00``."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def estimate(steps_left: float, seconds_per_step: float, budget_left: float | None) -> tuple[float, str]:
    """(seconds until a training ends, the limit that is reached first: ``epochs`` or ``train.minutes``).

    Args:
        steps_left: until the last epoch's end.
        seconds_per_step: so far, validation included.
        budget_left: seconds of the budget; None without one.
    """
    by_steps = steps_left * seconds_per_step
    if budget_left is not None and budget_left < by_steps:
        return max(0.0, budget_left), "train.minutes"
    return by_steps, "epochs"


class RemainingTime(keras.callbacks.Callback):
    """Print elapsed and remaining time of a training between epochs, at most every ``LINE_SECONDS``.

    Args:
        schedule: the run's :class:`scn_tf.training.callbacks.Schedule`, which counts steps and seconds.
        bar: whether Keras shows a progress bar. Without one, lines also appear within long epochs.
    """

    def __init__(self, schedule: Schedule, *, bar: bool) -> None:
        super().__init__()
        self.schedule, self.bar = schedule, bar
        # (steps, seconds) at the start, and after the first epoch, which builds the graphs.
        self.first: tuple[int, float] = (schedule.steps_done, time.monotonic())
        self.second: tuple[int, float] | None = None
        self.printed = float("-inf")

    def on_train_begin(self, logs: Logs = None) -> None:
        self.first = (self.schedule.steps_done, time.monotonic())

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        done, now = self.schedule.steps_done, time.monotonic()
        if done == self.first[0]:
            return
        if now - self.printed >= LINE_SECONDS:
            self._print(now)
        if self.second is None:
            self.second = (done, now)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        now = time.monotonic()
        if not self.bar and now - max(self.printed, self.first[1]) >= LONG_SECONDS:
            self._print(now)

    def _print(self, now: float) -> None:
        steps, since = self.second if self.second and self.schedule.steps_done > self.second[0] else self.first
        per_step = (now - since) / (self.schedule.steps_done - steps)
        minutes = self.schedule.minutes
        budget = None if not minutes else 60 * minutes - self.schedule.seconds
        left, end = estimate(self.schedule.total - self.schedule.steps_done, per_step, budget)
        print(f"Time     {clock(self.schedule.seconds)} elapsed, about {clock(left)} remaining, ended by {end}", flush=True)
        self.printed = now


class Lines:
    """Lines for work in equal pieces, if no terminal shows a bar: ``Study: 3 of 8 runs, 12:30 elapsed, about 21:00 remaining``.

    Args:
        title: name of the work.
        total: number of pieces.
        unit: name of the pieces, plural.
        done: pieces that are already done.
        file: stream to print to; standard error if None. Nothing is printed to a terminal.
    """

    def __init__(self, title: str, total: int, unit: str, *, done: int = 0, file: TextIO | None = None) -> None:
        self.title, self.total, self.unit, self.done, self.file = title, total, unit, done, file or sys.stderr
        self.before, self.started, self.printed = done, time.monotonic(), float("-inf")

    def update(self) -> None:
        """Count one more finished piece."""
        self.done += 1
        now = time.monotonic()
        if self.file.isatty() or (now - self.printed < LINE_SECONDS and self.done < self.total):
            return
        left = (now - self.started) / (self.done - self.before) * (self.total - self.done)
        text = f"{self.title}: {self.done} of {self.total} {self.unit}, {clock(now - self.started)} elapsed"
        print(text + (f", about {clock(left)} remaining" if self.done < self.total else ""), file=self.file, flush=True)
        self.printed = now
