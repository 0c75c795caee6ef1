"""An event loop that goes on while the terminal is read."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["LoopThread"]

Result = TypeVar("Result")


class LoopThread:
    """Runs coroutines in a thread of its own, one at a time, while the caller waits. Use it as a context manager."""

    def __enter__(self) -> LoopThread:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat-loop", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of ``work``. Ctrl-C, and a signal that ends the program, cancel it: raised once it has ended."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except (KeyboardInterrupt, SystemExit):
            future.cancel()
            with contextlib.suppress(concurrent.futures.CancelledError, Exception):
                self.run(_settled())
            raise


async def _settled() -> None:
    """Return when all that was cancelled has ended."""
    mine = asyncio.current_task()
    ending = [task for task in asyncio.all_tasks() if task is not mine and task.cancelling()]
    if ending:
        await asyncio.wait(ending)
