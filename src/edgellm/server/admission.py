"""How many requests may be in work, and how many answers a machine computes at once that is too hot."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edgellm.errors import BusyError

__all__ = ["Admission"]

_RETRY_S = 1.0


class Admission:
    """Counts requests from their headers to the end of their response. All methods are one event loop's.

    The engine of each model decides how many answers it computes at once; while the machine throttles, half as many
    are let through to it, so that those that run stay usable.
    """

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max_requests
        self.in_work = 0
        self.is_throttled = False
        self._gates: dict[str, Gate] = {}

    def enter(self) -> None:
        """Count a request in. Raises BusyError when there are too many."""
        if self.in_work >= self._max_requests:
            raise BusyError(
                f"server busy, please try again: {self.in_work} requests run or wait",
                hint="try again in a second; serve --max-requests N lets more wait",
                retry_after_s=_RETRY_S,
            )
        self.in_work += 1

    def leave(self) -> None:
        """The end of ``enter``."""
        self.in_work -= 1

    def throttle(self, is_throttled: bool) -> None:
        """From now on the machine throttles, or not any more."""
        self.is_throttled = is_throttled
        for gate in self._gates.values():
            gate.open()

    @asynccontextmanager
    async def turn(self, model: str, sequences: int) -> AsyncIterator[None]:
        """Wait until an answer of ``model``, which computes ``sequences`` at once, may begin; hold it meanwhile."""
        gate = self._gates.setdefault(model, Gate(self))
        gate.sequences = sequences
        await gate.wait()
        try:
            yield
        finally:
            gate.leave()

    def gates(self) -> dict[str, Gate]:
        """By model: for those that have been asked."""
        return self._gates


class Gate:
    """Answers of one model, in the order in which they came."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._queue: deque[asyncio.Future[None]] = deque()
        self.sequences = 1
        self.running = 0

    @property
    def limit(self) -> int | None:
        """How many may run at once; None leaves it to the engine."""
        return max(1, self.sequences // 2) if self._admission.is_throttled else None

    @property
    def waiting(self) -> int:
        """How many are held back."""
        return len(self._queue)

    async def wait(self) -> None:
        """Until it is this answer's turn."""
        if not self._queue and self._has_room():
            self.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave()  # it had just been let in
            elif turn in self._queue:
                self._queue.remove(turn)
            raise

    def leave(self) -> None:
        """An answer is over."""
        self.running -= 1
        self.open()

    def open(self) -> None:
        """Let in as many as there is room for."""
        while self._queue and self._has_room():
            turn = self._queue.popleft()
            if not turn.done():  # who waited for it may have gone just now
                self.running += 1
                turn.set_result(None)

    def _has_room(self) -> bool:
        return self.limit is None or self.running < self.limit
