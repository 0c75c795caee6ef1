"""How many requests are let in, and how many answers while the machine is too hot."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgellm.errors import BusyError
from edgellm.server.admission import Admission
from edgellm.server.telemetry.health_watch import HealthWatch


def test_requests_beyond_the_limit_are_refused_until_one_leaves() -> None:
    admission = Admission(2)
    admission.enter()
    admission.enter()
    with pytest.raises(BusyError, match="2 requests run or wait"):
        admission.enter()
    admission.leave()
    admission.enter()


class Answers:
    """Answers that wait for their turn, and stay until told to leave."""

    def __init__(self, admission: Admission, sequences: int) -> None:
        self.admission, self.sequences = admission, sequences
        self.running: list[int] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.ends: dict[int, asyncio.Event] = {}

    async def begin(self, *numbers: int) -> None:
        for number in numbers:
            self.ends[number] = asyncio.Event()
            self.tasks[number] = asyncio.create_task(self._run(number))
        await self.settle()

    async def end(self, number: int) -> None:
        self.ends[number].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def _run(self, number: int) -> None:
        async with self.admission.turn("m", self.sequences):
            self.running.append(number)
            try:
                await self.ends[number].wait()
            finally:
                self.running.remove(number)


def test_the_engine_decides_while_nothing_throttles() -> None:
    async def scenario() -> None:
        answers = Answers(Admission(99), sequences=4)
        await answers.begin(*range(9))
        assert answers.running == list(range(9))

    asyncio.run(scenario())


def test_a_machine_that_throttles_computes_half_as_many_in_their_order() -> None:
    async def scenario() -> None:
        admission = Admission(99)
        answers = Answers(admission, sequences=4)
        admission.throttle(True)
        await answers.begin(1, 2, 3, 4, 5)
        assert answers.running == [1, 2]
        assert admission.gates()["m"].waiting == 3
        await answers.end(1)
        assert answers.running == [2, 3]
        answers.tasks[4].cancel()
        await answers.settle()
        await answers.end(2)
        assert answers.running == [3, 5]
        admission.throttle(False)
        await answers.begin(6, 7)
        assert answers.running == [3, 5, 6, 7]

    asyncio.run(scenario())


def test_all_that_were_held_run_when_the_machine_has_cooled() -> None:
    async def scenario() -> None:
        admission = Admission(99)
        answers = Answers(admission, sequences=1)
        admission.throttle(True)
        await answers.begin(1, 2, 3)
        assert answers.running == [1]
        admission.throttle(False)
        await answers.settle()
        assert answers.running == [1, 2, 3]

    asyncio.run(scenario())


def test_one_who_leaves_as_it_is_let_in_takes_nobodys_place() -> None:
    async def scenario() -> None:
        admission = Admission(99)
        answers = Answers(admission, sequences=1)
        admission.throttle(True)
        await answers.begin(1, 2, 3)
        answers.ends[1].set()
        await asyncio.sleep(0)  # 1 has left, and 2 has been let in without knowing it yet
        answers.tasks[2].cancel()
        await answers.settle()
        assert answers.running == [3]

    asyncio.run(scenario())


def _board(root: Path, state: int) -> Path:
    device = root / "sys/class/thermal/cooling_device0"
    device.mkdir(parents=True, exist_ok=True)
    (device / "type").write_text("cpufreq-cpu0\n")
    (device / "cur_state").write_text(f"{state}\n")
    return root


def test_a_kernel_that_cools_lowers_what_runs_at_once(tmp_path: Path) -> None:
    async def scenario(state: int) -> bool:
        watch = HealthWatch(_board(tmp_path, state))
        heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(watch.watch(lambda: True, heard.set_result))
        try:
            return await asyncio.wait_for(heard, 20)
        finally:
            task.cancel()

    assert asyncio.run(scenario(3)) is True
    assert asyncio.run(scenario(0)) is False
