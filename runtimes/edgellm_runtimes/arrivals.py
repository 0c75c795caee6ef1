"""From the threads of a core to the coroutines that wait: one wake-up of the event loop for a whole step."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from edgellm.errors import BackendError, EdgeLLMError
from edgellm_runtimes.core import Delivered, Delivery

__all__ = ["Arrivals", "Mailbox"]

_MOST_UNREAD = 32_768  # pieces of one request that nobody has taken yet
_MOST_BATCHES = 4096  # steps that the event loop has not seen yet
_POLL_S = 0.1


class Mailbox:
    """What has come for one request. All methods are the event loop's."""

    def __init__(self) -> None:
        self._items: list[Delivered] = []
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """Number of items that were not taken."""
        return len(self._items)

    def put(self, item: Delivered) -> None:
        """Add an item and wake who waits."""
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: EdgeLLMError) -> None:
        """Throw away what nobody took: ``error`` is all that is left."""
        self._items.clear()
        self.put(error)

    async def take(self) -> list[Delivered]:
        """All items that have come; waits while there is none."""
        if not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken, self._items = self._items, []
        return taken


class Arrivals:
    """The mailboxes of one engine. ``deliver`` is for any thread, all else for the event loop.

    ``abandon`` is called with the id of a request that nobody reads: its event loop was closed, or too many pieces lie
    unread. While the event loop itself stands still, ``deliver`` waits for it after ``most_batches`` steps.
    """

    def __init__(self, most_batches: int = _MOST_BATCHES) -> None:
        self.abandon: Callable[[int], None] = _ignore
        self._boxes: dict[int, Mailbox] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._most_batches = most_batches
        self._seen = threading.Condition()
        self._batches: list[list[Delivery]] = []  # on their way to the loop, which was woken for the first of them

    def open(self, request_id: int) -> Mailbox:
        """A mailbox for a request that is about to start."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            with self._seen:
                self._loop = loop
                self._batches = []
            self._boxes.clear()  # of a loop that has ended
        box = self._boxes[request_id] = Mailbox()
        return box

    def close(self, request_id: int) -> None:
        """What still comes for this request is dropped."""
        self._boxes.pop(request_id, None)

    def deliver(self, batch: list[Delivery]) -> None:
        """Hand over what one step gave to all requests."""
        if not self._pass_on(batch):
            for request_id in {request_id for request_id, _item in batch}:
                self.abandon(request_id)

    def _pass_on(self, batch: list[Delivery]) -> bool:
        """False when there is no event loop any more."""
        with self._seen:
            loop = self._loop
            if loop is None or loop.is_closed():
                self._batches = []
                return False
            self._batches.append(batch)
            if len(self._batches) > 1:
                while len(self._batches) > self._most_batches and not loop.is_closed():
                    self._seen.wait(_POLL_S)
                return True
        try:
            loop.call_soon_threadsafe(self._dispatch)
        except RuntimeError:  # it was closed just now
            return False
        return True

    def _dispatch(self) -> None:
        with self._seen:
            batches, self._batches = self._batches, []
            self._seen.notify_all()
        for batch in batches:
            for request_id, item in batch:
                box = self._boxes.get(request_id)
                if box is None:
                    continue
                if len(box) < _MOST_UNREAD:
                    box.put(item)
                    continue
                self.close(request_id)
                box.fail(BackendError(f"nobody read the answer: {_MOST_UNREAD} pieces of it were waiting"))
                self.abandon(request_id)


def _ignore(_request_id: int) -> None:
    """Until there is a core."""
