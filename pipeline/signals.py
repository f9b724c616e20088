"""A signal to a command that runs stages: they are told, they end, and nothing is left behind.

The work goes on in a thread of its own: DVC turns a deaf ear to interrupts in the main one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType

#: Seconds that a stage is given to end by itself after a signal.
PATIENCE = 5.0
#: What is told.
INTERRUPTED, ENDED = "interrupted", "ended by a signal"
#: What ends a command: Ctrl-C, a system that stops it, a terminal that is closed.
NUMBERS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
#: Set when a signal has come, for whoever is between two stages.
_CAME = threading.Event()


def listened_to() -> list[int]:
    """What ends this command; `nohup` has it live on without its terminal."""
    hung_up = getattr(signal, "SIGHUP", None)
    deaf = hung_up is not None and signal.getsignal(hung_up) == signal.SIG_IGN
    return [number for number in NUMBERS if not (deaf and number == hung_up)]


def told_while_loading(name: str) -> None:
    """Until somebody else listens, a signal is a line too, not the imports it came in.

    Parameters
    ----------
    name
        Who tells; empty where another command does.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if name:
            word = INTERRUPTED if number == signal.SIGINT else ENDED
            print(f"{name}: {word}", file=sys.stderr, flush=True)
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)


def ending() -> bool:
    """Whether this process was told to end."""
    return _CAME.is_set()


class Signals:
    """Hand a signal to the stages that are running, and see that they end.

    Attributes
    ----------
    got
        The signal that came; 0 for none.
    """

    def __init__(self) -> None:
        self.got = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.got = self.got or number
        _CAME.set()

    @property
    def status(self) -> int:
        """What to leave with, as a shell has it."""
        return 128 + self.got

    def word(self) -> str:
        """What happened, for the line that tells it."""
        return INTERRUPTED if self.got == signal.SIGINT else ENDED

    def watch(self, worker: threading.Thread) -> None:
        """Wait for the work to end; after a signal, see that its children do."""
        _CAME.clear()
        before = {number: signal.signal(number, self) for number in listened_to()}
        try:
            worker.start()
            while worker.is_alive() and not self.got:
                worker.join(0.1)
            if self.got and worker.is_alive():
                self._end_children(worker)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end_children(self, worker: threading.Thread) -> None:
        import psutil

        begun, sent = time.monotonic(), 0
        # the terminal sends its interrupt to all of us: give the stage the time to say so
        steps = (0.0 if self.got != signal.SIGINT else 0.5, 2.0, PATIENCE)
        signals = (self.got, signal.SIGTERM, signal.SIGKILL)
        while worker.is_alive():
            if sent < len(steps) and time.monotonic() - begun >= steps[sent]:
                for child in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        child.send_signal(signals[sent])
                sent += 1
            worker.join(0.05)
            if time.monotonic() - begun > 2 * PATIENCE:
                return  # between two stages, with no child that could end
