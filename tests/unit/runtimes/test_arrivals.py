"""From a core's threads to the coroutines that wait, in order, at once, and bounded."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from edgellm.errors import BackendError
from edgellm_runtimes import arrivals as module
from edgellm_runtimes.arrivals import Arrivals
from edgellm_runtimes.generation import Chunk


def chunk(number: int) -> Chunk:
    return Chunk(str(number), (number,))


async def in_thread(work: Callable[[], None]) -> None:
    await asyncio.to_thread(work)


def test_a_step_wakes_the_loop_once_for_all_requests() -> None:
    async def main() -> None:
        arrivals = Arrivals()
        boxes = [arrivals.open(number) for number in range(8)]
        loop, wakes = asyncio.get_running_loop(), 0
        wake = loop.call_soon_threadsafe

        def counting(*arguments: object) -> object:
            nonlocal wakes
            wakes += arguments[0] == arrivals._dispatch
            return wake(*arguments)  # type: ignore[arg-type]

        loop.call_soon_threadsafe = counting  # type: ignore[method-assign,assignment]

        def deliver() -> None:
            arrivals.deliver([(number, chunk(number)) for number in range(8)])

        await in_thread(deliver)
        assert wakes == 1
        assert [await box.take() for box in boxes] == [[chunk(number)] for number in range(8)]

    asyncio.run(main())


def test_what_comes_while_the_loop_is_busy_is_taken_together_and_in_order() -> None:
    async def main() -> None:
        arrivals = Arrivals()
        box = arrivals.open(1)
        thread = threading.Thread(target=lambda: [arrivals.deliver([(1, chunk(number))]) for number in range(100)])
        thread.start()
        thread.join()  # the loop does not run meanwhile
        assert await box.take() == [chunk(number) for number in range(100)]

    asyncio.run(main())


def test_what_comes_for_a_closed_mailbox_is_dropped() -> None:
    async def main() -> None:
        arrivals = Arrivals()
        arrivals.open(1)
        other = arrivals.open(2)
        arrivals.close(1)
        await in_thread(lambda: arrivals.deliver([(1, chunk(1)), (2, chunk(2)), (3, chunk(3))]))
        assert await other.take() == [chunk(2)]

    asyncio.run(main())


def test_while_the_loop_stands_still_its_deliverer_waits() -> None:
    async def main() -> None:
        arrivals = Arrivals(most_batches=10)
        box, delivered = arrivals.open(1), 0

        def deliver() -> None:
            nonlocal delivered
            for number in range(50):
                arrivals.deliver([(1, chunk(number))])
                delivered += 1

        thread = threading.Thread(target=deliver)
        thread.start()
        while delivered < 10:
            time.sleep(0.001)
        thread.join(0.3)  # the loop does not run meanwhile
        assert thread.is_alive()
        assert delivered == 10
        received: list[object] = []
        while len(received) < 50:
            received += await box.take()
        thread.join()
        assert received == [chunk(number) for number in range(50)]

    asyncio.run(main())


def test_a_request_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_UNREAD", 5)

    async def main() -> None:
        arrivals, abandoned = Arrivals(), []
        arrivals.abandon = abandoned.append
        unread, read = arrivals.open(1), arrivals.open(2)
        for number in range(8):
            await in_thread(lambda number=number: arrivals.deliver([(1, chunk(number)), (2, chunk(number))]))  # type: ignore[misc]
            assert await read.take() == [chunk(number)]
        [error] = await unread.take()
        assert isinstance(error, BackendError)
        assert "nobody read" in error.message
        assert abandoned == [1]

    asyncio.run(main())


def test_requests_of_a_loop_that_has_closed_are_abandoned() -> None:
    arrivals, abandoned = Arrivals(), []
    arrivals.abandon = abandoned.append

    async def open_two() -> None:
        arrivals.open(1)
        arrivals.open(2)

    asyncio.run(open_two())
    arrivals.deliver([(1, chunk(1)), (2, chunk(2)), (1, chunk(3))])
    assert sorted(abandoned) == [1, 2]

    async def open_another() -> list[object]:
        box = arrivals.open(3)
        await in_thread(lambda: arrivals.deliver([(1, chunk(1)), (3, chunk(3))]))
        return list(await box.take())

    assert asyncio.run(open_another()) == [chunk(3)]


def test_a_waiting_task_that_is_cancelled_loses_nothing() -> None:
    async def main() -> None:
        arrivals = Arrivals()
        box = arrivals.open(1)
        waiting = asyncio.create_task(box.take())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await in_thread(lambda: arrivals.deliver([(1, chunk(1))]))
        assert await box.take() == [chunk(1)]

    asyncio.run(main())
