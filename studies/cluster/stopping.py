"""A request to stop that waits until it can be followed in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGHUP, signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[Callable[[], str]]:
    """Holds back SIGHUP and SIGTERM: in between two arrays a submission can stop without leaving anything half done.

    Yields:
        What tells which signal has come; the empty string if none has.
    """
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # such as below nohup
                before[number] = signal.signal(number, lambda one, _: came.append(one))
    try:
        yield lambda: f"stopped by {signal.Signals(came[0]).name}" if came else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
