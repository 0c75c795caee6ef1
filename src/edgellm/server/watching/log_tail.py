"""The last lines of the server's log, kept in memory."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import AsyncGenerator

from edgellm.api.log import LogLine

__all__ = ["LogTail"]

_KEPT = 1000
_LONGEST = 2000  # characters of one line
_LONGEST_TRACEBACK = 8000  # likewise; the end says most
_MOST_WAITING = 500  # lines that a slow reader may be behind


class LogTail(logging.Handler):
    """Keeps what the loggers of edgellm say from warnings to information. What they leave out is not here either."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[LogLine] = deque(maxlen=_KEPT)
        self._n_lines = 0
        self._readers: dict[asyncio.Queue[LogLine], asyncio.AbstractEventLoop] = {}

    def open(self) -> None:
        """Begin to keep."""
        logger = logging.getLogger("edgellm")
        logger.addHandler(self)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)

    def close(self) -> None:
        """Keep nothing more."""
        logging.getLogger("edgellm").removeHandler(self)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held, on any thread."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  a log call with wrong arguments must not end a request
            self.handleError(record)
            return
        self._n_lines += 1
        line = LogLine(
            self._n_lines, record.created, record.levelname.lower(), record.name, message[:_LONGEST], _traceback(record)
        )
        self._lines.append(line)
        for queue, loop in self._readers.items():
            loop.call_soon_threadsafe(_offer, queue, line)

    def last(self, count: int) -> list[LogLine]:
        """The last ``count`` lines, the oldest first."""
        self.acquire()
        try:
            return list(self._lines)[-count:] if count > 0 else []
        finally:
            self.release()

    async def follow(self, count: int) -> AsyncGenerator[LogLine, None]:
        """The last ``count`` lines, then every new one. A reader that is far behind misses lines: see ``number``."""
        queue: asyncio.Queue[LogLine] = asyncio.Queue(_MOST_WAITING)
        self.acquire()
        try:
            lines = list(self._lines)[-count:] if count > 0 else []
            self._readers[queue] = asyncio.get_running_loop()
        finally:
            self.release()
        try:
            for line in lines:
                yield line
            while True:
                yield await queue.get()
        finally:
            self.acquire()
            try:
                del self._readers[queue]
            finally:
                self.release()


def _traceback(record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[0] is None:
        return None
    return "".join(traceback.format_exception(*record.exc_info))[-_LONGEST_TRACEBACK:]


def _offer(queue: asyncio.Queue[LogLine], line: LogLine) -> None:
    if not queue.full():
        queue.put_nowait(line)
