"""The parts of tests/benchmarks/serve.py that turn arrivals into numbers and numbers into verdicts."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))  # last: it has an onnx.py

from serve_cpu import Spent, spent
from serve_http import HttpContender, events_of
from serve_load import Ask, Event, Outcome, Reply, drive, percentile
from serve_report import Book, Target, measures_table, verdicts, verdicts_table


def test_percentiles_are_values_that_occurred() -> None:
    values = [4.0, 1.0, 3.0, 2.0]
    assert [percentile(values, share) for share in (0.0, 0.25, 0.5, 0.95, 1.0)] == [1.0, 1.0, 2.0, 4.0, 4.0]


def test_gaps_lie_between_events_that_follow_each_other() -> None:
    reply = Reply(asked=10.0, stamps=[10.5, 10.75, 11.75, 12.0])
    assert reply.first_s == 0.5
    assert reply.gaps() == [0.25, 1.0, 0.25]


def test_gaps_of_a_time_are_those_that_touch_it() -> None:
    reply = Reply(asked=0.0, stamps=[1.0, 2.0, 4.0, 7.0])
    assert reply.gaps(since=2.5, until=3.0) == [2.0]
    assert reply.gaps(since=3.0) == [2.0, 3.0]
    assert reply.gaps(until=1.5) == [1.0]


def test_a_wait_counts_before_the_first_token_and_after_the_last() -> None:
    cut = Reply(asked=0.0, stamps=[3.0, 4.0])
    assert cut.longest_wait(since=1.0, until=10.0) == 6.0
    assert cut.longest_wait(since=3.5, until=4.0) == 1.0
    assert cut.longest_wait(since=1.0, until=3.5) == 3.0
    assert Reply(asked=0.0, stamps=[3.0, 4.0], complete=True).longest_wait(since=5.0, until=10.0) == 0.0


def test_an_outcome_adds_up_all_replies() -> None:
    replies = [Reply(0.0, stamps=[0.5, 1.0], tokens=2), Reply(0.0, stamps=[1.0, 1.2, 1.4, 1.6], tokens=4)]
    outcome = Outcome(replies, wall_s=2.0, client_s=0.5, cpu=Spent(3.0, 0.05, 0.0))
    assert outcome.tokens_per_s == 3.0
    assert outcome.median_gap_ms == pytest.approx(200)
    assert outcome.median_first_ms == pytest.approx(750)
    assert outcome.client_share == 0.25
    assert not outcome.disturbed
    assert replace(outcome, cpu=Spent(3.0, 0.15, 0.1)).disturbed


STREAM = (
    b'data: {"choices":[{"text":"one","finish_reason":null}]}\r\n\r\n: a comment\r\n\r\n'
    b'data: {"choices":[{"text":"","finish_reason":null}]}\n\n'
    b'data: {"choices":[{"text":"","finish_reason":"length"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":5}},"timings":{"draft_n":4,"draft_n_accepted":3}}\n\n'
    b"data: [DONE]\n\n"
)


def read(stream: bytes, size: int) -> list[Event]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(stream), size):
            yield stream[start : start + size]

    async def collect() -> list[Event]:
        return [event async for event in events_of(pieces())]

    return asyncio.run(collect())


@pytest.mark.parametrize("size", [1, 2, 7, len(STREAM)])
def test_events_are_the_same_wherever_the_stream_is_cut(size: int) -> None:
    *tokens, counts = read(STREAM, size)
    assert [event.text for event in tokens] == ["one", ""]
    assert counts == Event(0, "", 7, 2, 5, 4, 3)


@pytest.mark.parametrize("stream", [b'data: {"error":{"message":"no room"}}\n\n', b'error: {"message":"no room"}\n\n'])
def test_an_error_in_the_stream_is_raised(stream: bytes) -> None:
    with pytest.raises(RuntimeError, match="no room"):
        read(stream, 5)


class Answers:
    """A server on the loopback interface that answers one request per connection, and counts how many it has."""

    def __init__(self, missing: int = 0) -> None:
        self.missing, self.now, self.most, self.bodies, self.cut = missing, 0, 0, [], 0  # type: ignore[var-annotated]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-le")
        )
        body = json.loads(await reader.readexactly(length))
        self.bodies.append(body)
        self.now += 1
        self.most = max(self.most, self.now)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        count = body["max_tokens"] - self.missing
        try:
            for _ in range(count):
                writer.write(b'data: {"choices":[{"text":"x","finish_reason":null}]}\n\n')
                await writer.drain()
                await asyncio.sleep(0)
            usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": count}
            writer.write(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
            await writer.drain()
        except ConnectionError:
            self.cut += 1
        finally:
            self.now -= 1
            writer.close()


def ask_server(answers: Answers, asks: list[Ask], concurrency: int | None = None) -> Outcome:
    async def run() -> Outcome:
        server = await asyncio.start_server(answers, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            contender = HttpContender("a server", f"http://127.0.0.1:{port}", forbidden={3: float("-inf")})
            try:
                return await drive(contender, asks, concurrency)
            finally:
                await contender.aclose()

    return asyncio.run(run())


def test_a_load_keeps_to_its_concurrency_and_counts_every_token() -> None:
    answers = Answers()
    outcome = ask_server(answers, [Ask((5, 6, index), 20, seed=index) for index in range(6)], concurrency=2)
    assert answers.most == 2
    assert [reply.tokens for reply in outcome.replies] == [20] * 6
    assert all(len(reply.gaps()) == 19 for reply in outcome.replies)
    assert sorted(body["prompt"][-1] for body in answers.bodies) == list(range(6))
    assert answers.bodies[0]["logit_bias"] == {"3": -1_000_000.0}
    assert outcome.client_s > 0


def test_unequal_work_is_no_result() -> None:
    with pytest.raises(RuntimeError, match="gave 7 tokens where 8 were asked for"):
        ask_server(Answers(missing=1), [Ask((1, 2), 8)])


def test_requests_in_the_background_end_with_the_others() -> None:
    endless = Ask((1, 2), 10_000_000, background=True)
    outcome = ask_server(Answers(), [endless, Ask((1, 2, 3), 5, at_s=0.02)])
    behind, front = outcome.replies
    assert front.complete
    assert not behind.complete
    assert behind.stamps


def test_time_of_children_is_ours_before_and_after_they_end() -> None:
    busy = "import time, sys\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\nsys.stdin.read()"
    before = spent()
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        running = spent().since(before)
        child.communicate()
    assert running.ours >= 0.28
    assert spent().since(before).ours >= running.ours - 0.02


def book(ours: list[float], theirs: list[float]) -> Book:
    found = Book()
    for mine, other in zip(ours, theirs, strict=True):
        found.add("streams", "m", "8 streams", "in-process", **{"tokens/s": mine})
        found.add("streams", "m", "8 streams", "llama-server", **{"tokens/s": other})
    return found


def test_a_ratio_compares_each_round_with_itself() -> None:
    (measure,) = book([110.0, 60.0, 330.0], [100.0, 50.0, 300.0]).measures.values()
    assert measure.ratio("in-process", "llama-server") == pytest.approx(1.1)
    assert measure.difference("in-process", "llama-server") == pytest.approx(10.0)
    assert measure.ratio("worker", "llama-server") is None


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        (Target("streams", "tokens/s", 1.05), True),
        (Target("streams", "tokens/s", 1.2), False),
        (Target("streams", "tokens/s", 1.05, at_most=True), False),
        (Target("streams", "tokens/s", 40.0, at_most=True, is_difference=True), True),
        (Target("streams", "tokens/s", 1.05, model="m", cases=("8 streams",)), True),
    ],
)
def test_a_verdict_says_whether_a_bound_is_kept(target: Target, is_met: bool) -> None:
    (verdict,) = verdicts(book([110.0], [100.0]).measures.values(), [target])
    assert verdict.is_met is is_met
    assert ("**missed**" in verdicts_table([verdict])) is not is_met


@pytest.mark.parametrize(
    "target",
    [
        Target("shared", "tokens/s", 1.0),
        Target("streams", "median gap, ms", 1.0),
        Target("streams", "tokens/s", 1.0, model="other"),
        Target("streams", "tokens/s", 1.0, cases=("1 stream",)),
        Target("streams", "tokens/s", 1.0, ours="worker"),
    ],
)
def test_a_target_says_nothing_about_what_it_does_not_name(target: Target) -> None:
    assert verdicts(book([110.0], [100.0]).measures.values(), [target]) == []


def test_the_table_has_a_column_for_each_contender() -> None:
    table = measures_table(list(book([110.0, 90.0], [50.0, 50.0]).measures.values()))
    assert "| in-process | llama-server |" in table
    assert "| 100 ±10% | 50.0 ±0% |" in table
