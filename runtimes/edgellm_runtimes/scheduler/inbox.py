"""What other threads tell the decode thread: requests that came, requests to stop, and the end."""

from __future__ import annotations

import threading
from collections import deque

from edgellm.errors import BackendError, BusyError
from edgellm_runtimes.embedding import EmbedRequest
from edgellm_runtimes.scheduler.live import LiveAnswer

__all__ = ["Inbox"]


class Inbox:
    """Bounded queues of what is to begin, in the order of arrival, and the ids of requests to stop.

    ``wait``, ``take`` and ``expired`` are the decode thread's, all others are for any thread.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._waiting: deque[LiveAnswer] = deque()
        self._requests = 0  # for answers that wait
        self._embeddings: deque[EmbedRequest] = deque()
        self._cancelled: set[int] = set()
        self.is_closing = False

    def __len__(self) -> int:
        """Number of answers that wait."""
        return len(self._waiting)

    @property
    def n_embeddings(self) -> int:
        """Number of requests for embeddings that wait."""
        return len(self._embeddings)

    def put(self, answers: list[LiveAnswer]) -> None:
        """Queue the answers of one request. Raises BusyError when the queue is full, BackendError after ``close``."""
        with self._changed:
            self._check_room()
            self._requests += 1
            self._waiting.extend(answers)
            self._changed.notify()

    def put_embedding(self, request: EmbedRequest) -> None:
        """Queue a request for embeddings; raises likewise."""
        with self._changed:
            self._check_room()
            self._embeddings.append(request)
            self._changed.notify()

    def cancel(self, request_id: int) -> None:
        """Stop a request, whether it waits or runs."""
        with self._changed:
            self._cancelled.add(request_id)
            self._changed.notify()

    def close(self) -> None:
        """Take no more; what waits stays to be taken."""
        with self._changed:
            self.is_closing = True
            self._changed.notify()

    def wait(self) -> None:
        """Until there is something to take, or the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._embeddings or self._cancelled or self.is_closing)

    def take(self, room: int) -> tuple[list[LiveAnswer], set[int]]:
        """At most ``room`` answers to begin, and the ids of cancelled requests, whose answers do not wait any more."""
        with self._changed:
            cancelled, self._cancelled = self._cancelled, set()
            if cancelled:
                self._waiting = deque(answer for answer in self._waiting if answer.request.id not in cancelled)
                self._embeddings = deque(each for each in self._embeddings if each.id not in cancelled)
            taken = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
            self._requests = len({answer.request.id for answer in self._waiting})
            return taken, cancelled

    def take_embeddings(self, room: int) -> list[EmbedRequest]:
        """At most ``room`` requests for embeddings to begin. After ``take``, so that none that was cancelled is."""
        with self._changed:
            return [self._embeddings.popleft() for _ in range(min(room, len(self._embeddings)))]

    def expired(self, now: float) -> list[LiveAnswer]:
        """Take out what waited beyond its deadline."""
        with self._changed:
            late = [answer for answer in self._waiting if answer.deadline is not None and answer.deadline <= now]
            for answer in late:
                self._waiting.remove(answer)
            return late

    def _check_room(self) -> None:
        if self.is_closing:
            raise BackendError("the model is closed")
        if self._requests + len(self._embeddings) >= self._limit:
            raise BusyError(
                f"{self._limit} requests are waiting already", hint="try again later, or load more sequences"
            )
