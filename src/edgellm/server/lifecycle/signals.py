"""What signals ask of a server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

__all__ = ["StopRequest", "handled_signals"]


class StopRequest:
    """``told`` is set by the first signal that says stop, ``hurry`` by the second."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.hurry = asyncio.Event()

    def stop(self) -> None:
        """A signal came."""
        (self.hurry if self.told.is_set() else self.told).set()


@contextlib.contextmanager
def handled_signals(request: StopRequest, reload: Callable[[], None]) -> Iterator[None]:
    """While the block runs SIGINT and SIGTERM mean stop, SIGHUP means reload. Only for the main thread's loop."""
    loop = asyncio.get_running_loop()
    handlers = {signal.SIGINT: request.stop, signal.SIGTERM: request.stop, signal.SIGHUP: reload}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
