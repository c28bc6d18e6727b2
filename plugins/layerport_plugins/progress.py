"""The progress line of `fit`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from layerport.train.callback import Callback, Logs

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

REFRESH = 0.1
"""Seconds between two drawings of the line."""

BAR_WIDTH = 24


class ProgressLine(Callback):
    """Shows loss, metrics, samples a second and the time left.

    In a terminal one line lives while an epoch runs, and stays when it has ended. Elsewhere (a
    file, a pipe) there is one plain line an epoch. Lines go to stderr.

    Parameters
    ----------
    live : False for plain lines in a terminal, too.
    """

    live: bool = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._display: Live | None = None
        if self.live and self._console.is_terminal:
            from rich.live import Live

            self._display = Live(console=self._console, auto_refresh=False, transient=True)
            self._display.start()
        self._epochs_done = 0
        self._started = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch
        self._epoch_started = self._batch_ended = time.perf_counter()
        self._drawn = 0.0
        self._samples = 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        now = time.perf_counter()
        self._batch_ended = now
        self._samples = getattr(logs, "samples", 0)
        if self._display is not None and now - self._drawn > REFRESH:
            self._drawn = now
            self._display.update(self._line(batch + 1, logs or {}), refresh=True)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._epochs_done += 1
        seconds = time.perf_counter() - self._epoch_started
        words = [self._title(), *_results(logs or {}), self._speed(), _duration(seconds)]
        self._console.print("  ".join(word for word in words if word), soft_wrap=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._display is not None:
            self._display.stop()

    def _title(self) -> str:
        epochs = self.params["epochs"]
        return f"epoch {self._epoch + 1:>{len(str(epochs))}}/{epochs}"

    def _speed(self) -> str:
        seconds = self._batch_ended - self._epoch_started
        return f"{self._samples / seconds:,.0f} samples/s" if self._samples and seconds else ""

    def _line(self, done: int, logs: Mapping[str, float]) -> Text:
        from rich.text import Text

        steps = self.params["steps"]
        line = Text(self._title(), no_wrap=True, overflow="ellipsis")
        if steps:
            filled = BAR_WIDTH * done // steps
            line.append("  ").append("━" * filled, "green")
            line.append("━" * (BAR_WIDTH - filled), "bright_black")
            line.append(f" {done / steps:4.0%}")
        else:
            line.append(f"  {done} batches")
        for word in (*_results(logs), self._speed(), self._left(done, steps)):
            if word:
                line.append("  " + word)
        return line

    def _left(self, done: int, steps: int | None) -> str:
        """The time that the rest will take if it goes on as it has gone."""
        if not steps:
            return ""
        all_done = self._epochs_done * steps + done
        total = (self.params["epochs"] - self.params["initial_epoch"]) * steps
        seconds = (time.perf_counter() - self._started) / all_done * (total - all_done)
        return f"ETA {_duration(seconds)}"


def _results(logs: Mapping[str, float]) -> list[str]:
    return [f"{name} {_number(value)}" for name, value in logs.items()]


def _number(value: Any) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3e}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
