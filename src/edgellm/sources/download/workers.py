"""The connections of one download: threads that fetch segments and hand their bytes over in one queue."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from edgellm.sources.download.ranges import Range
from edgellm.sources.hub.client import HubClient
from edgellm.sources.hub.failures import TransientError
from edgellm.sources.hub.repository import HubFile
from edgellm.sources.hub.retry import Backoff
from edgellm.sources.hub.stream import RangeStream

__all__ = ["Block", "Fetcher", "RangesIgnoredError"]

_BLOCK_BYTES = 256 << 10
_QUEUED_BLOCKS = 8  # with what each connection gathers: 4 MB for four connections
_BLOCK_S = 0.25  # a slow connection hands over what it has
_POLL_S = 0.1
_JOIN_S = 0.2


class RangesIgnoredError(Exception):
    """The server sends the whole file whatever part is asked for: one connection must do."""


class _StoppedError(Exception):
    """The download ends; nobody takes the bytes any more."""


@dataclass(frozen=True)
class Block:
    """Bytes that arrived, and where in the file they belong."""

    start: int
    data: bytes


@dataclass
class _Segment:
    position: int
    stop: int


class Fetcher:
    """``connections`` threads that fetch ``segments`` in order, with retries; a context manager that stops them.

    With ``single`` a server may ignore ranges: what comes before a segment is read and dropped.
    """

    def __init__(
        self, client: HubClient, file: HubFile, segments: list[Range], connections: int, *, single: bool
    ) -> None:
        self._client = client
        self._file = file
        self._segments = deque(segments)
        self._single = single
        self._queue: queue.Queue[Block | str | BaseException | None] = queue.Queue(_QUEUED_BLOCKS)
        self._stop = threading.Event()
        self._streams: set[RangeStream] = set()
        self._lock = threading.Lock()
        count = max(1, min(connections, len(segments)))
        self._running = count
        self._threads = [threading.Thread(target=self._run, name=f"fetch-{n}", daemon=True) for n in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the threads. One that waits for an answer is left behind: it owns nothing, and sees that all is over."""
        self._stop.set()
        with self._lock:
            for stream in self._streams:
                stream.abort()
        deadline = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def arrivals(self) -> Iterator[Block | str | None]:
        """Blocks, lines for the user, and None when nothing came for a moment; ends when all segments are there.

        Raises what a thread met: an error of the hub or RangesIgnoredError.
        """
        while self._running:
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                yield None
                continue
            if item is None:
                self._running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item

    def _run(self) -> None:
        try:
            while True:
                try:
                    start, stop = self._segments.popleft()
                except IndexError:
                    break
                self._fetch(_Segment(start, stop))
            self._put(None)
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            if not self._stop.is_set():
                self._put_last(error)

    def _fetch(self, segment: _Segment) -> None:
        backoff = Backoff(self._client.patience, self._put, self._pause)
        while segment.position < segment.stop:
            before = segment.position
            try:
                self._fetch_once(segment)
            except TransientError as error:
                if self._stop.is_set():
                    raise _StoppedError from error
                if segment.position > before:
                    backoff.succeeded()
                backoff.failed(error)

    def _fetch_once(self, segment: _Segment) -> None:
        self._pause(0)
        stream = self._client.open_range(self._file, segment.position, segment.stop)
        try:
            with self._lock:
                self._streams.add(stream)
            self._pause(0)
            if stream.whole and not self._single and self._file.size_bytes > segment.stop - segment.position:
                raise RangesIgnoredError
            self._copy(stream, segment)
        finally:
            with self._lock:
                self._streams.discard(stream)
            if segment.position < segment.stop:
                stream.abort()  # the rest of the answer is not wanted, and must not be read to its end
            stream.close()

    def _copy(self, stream: RangeStream, segment: _Segment) -> None:
        """Hand the bytes over in blocks; what came before a failure counts."""
        offset, parts, size, since = stream.start, list[bytes](), 0, time.monotonic()

        def hand_over() -> None:
            nonlocal parts, size, since
            self._put(Block(segment.position, b"".join(parts)))
            segment.position += size
            parts, size, since = [], 0, time.monotonic()

        try:
            for piece in stream:
                wanted = piece[max(0, segment.position + size - offset) :] if stream.whole else piece
                offset += len(piece)
                parts.append(wanted)
                size += len(wanted)
                if size >= _BLOCK_BYTES or time.monotonic() - since > _BLOCK_S:
                    hand_over()
        finally:
            if size and not self._stop.is_set():
                hand_over()

    def _put(self, item: Block | str | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return
        raise _StoppedError

    def _put_last(self, error: BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(error, timeout=_POLL_S)
            except queue.Full:
                continue
            return

    def _pause(self, wait_s: float) -> None:
        if self._stop.wait(wait_s):
            raise _StoppedError
