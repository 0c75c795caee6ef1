"""How a server ends: it lets answers finish, or not, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from homes import home_over
from serve_rig import Serving, serving, wait_until

from cli_process import Cli
from worker_rig import is_gone

PROMPT = "The history of the city began"


@pytest.fixture
def home(packed_home: Path, tmp_path: Path) -> Path:
    """The packed store, with a runtime folder of this test's own."""
    return home_over(packed_home, tmp_path)


def request(max_tokens: int) -> dict[str, Any]:
    return {
        "model": "tiny-llm",
        "prompt": PROMPT,
        "sampling": {"max_tokens": max_tokens, "min_tokens": max_tokens, "ignore_eos": True, "temperature": 0},
    }


@contextlib.contextmanager
def streaming(server: Serving, max_tokens: int) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines of an answer, of which the first two are there."""
    with server.client() as client, client.stream("POST", "/api/edgellm/run", json=request(max_tokens)) as response:
        assert response.status_code == 200
        lines = map(json.loads, response.iter_lines())
        assert next(lines)["type"] == "start"
        assert next(lines)["type"] == "chunk"
        yield lines


def finish_reason(lines: Iterator[dict[str, Any]]) -> str | None:
    last = None
    for last in lines:
        assert last["type"] == "chunk", last
    return last["chunk"]["finish_reason"] if last else None


def children(server: Serving) -> list[int]:
    return [child.pid for child in psutil.Process(server.process.pid).children(recursive=True)]


def is_closed(server: Serving) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
        return False
    return True


def test_an_answer_finishes_after_the_signal_and_new_ones_are_refused(home: Path) -> None:
    with serving(home) as server, streaming(server, 400) as lines:
        workers = children(server)
        assert workers
        server.signal()
        wait_until(lambda: is_closed(server), "no more connections")
        assert not (home / "run" / "edgellm.sock").exists()
        assert not list((home / "run").glob("*.json"))  # nobody is sent there any more
        assert finish_reason(lines) == "length"
        assert server.wait() == 0
        assert all(is_gone(pid) for pid in workers)
        assert "1 answers may finish" in server.said()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_connections_without_a_request_do_not_delay_the_end(home: Path, number: int) -> None:
    with serving(home) as server, server.client() as client:
        client.get("/api/edgellm/version")  # kept alive
        with (
            socket.create_connection(("127.0.0.1", server.port)),
            socket.create_connection(("127.0.0.1", server.port)) as half,
        ):
            half.sendall(b"GET /api/edg")
            server.signal(number)
            assert server.wait() == 0
        assert "cut off" not in server.said()


@pytest.mark.parametrize("path", ["/api/edgellm/statistics/stream", "/api/edgellm/log/stream"])
def test_streams_without_an_end_are_over(home: Path, path: str) -> None:
    with serving(home) as server, server.client() as client:
        client.get("/api/edgellm/version")  # for the log
        with client.stream("GET", path) as response:
            lines = response.iter_lines()
            assert next(lines)
            server.signal()
            for _ in lines:
                pass
        assert server.wait() == 0
        assert "cut off" not in server.said()


def test_a_second_signal_ends_it_at_once(home: Path) -> None:
    with serving(home) as server, streaming(server, 100_000) as lines:
        workers = children(server)
        server.signal()
        wait_until(lambda: is_closed(server), "no more connections")
        assert server.process.poll() is None
        server.signal()
        assert server.wait() == 130
        with contextlib.suppress(httpx.TransportError):
            assert finish_reason(lines) is None
        wait_until(lambda: all(is_gone(pid) for pid in workers), "no worker")
        assert list((home / "run").iterdir()) == []


def test_answers_that_take_too_long_are_cut_off(home: Path) -> None:
    with serving(home, "--drain", "0.3") as server, streaming(server, 100_000) as lines:
        server.signal()
        with contextlib.suppress(httpx.TransportError):
            assert finish_reason(lines) is None
        assert server.wait() == 0
        assert "1 answers were cut off" in server.said()


def test_stop_ends_the_server_of_this_store_and_waits_for_it(home: Path, tmp_path: Path) -> None:
    with serving(home) as server, serving(tmp_path / "other") as other:
        done = Cli(home).run("stop", "--server")
        assert is_gone(server.process.pid)
        assert f"{server.url} (process {server.process.pid}) has ended" in done.stderr
        assert server.wait() == 0
        assert other.process.poll() is None


def test_stop_now_cuts_answers_off(home: Path) -> None:
    with serving(home) as server, streaming(server, 100_000):
        Cli(home).run("stop", "--server", "--now")
        assert server.wait() == 130


def test_stop_does_not_end_the_server_of_another(home: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "other") as other:
        refused = Cli(home).run("stop", "--server", status=1, environment={"EDGELLM_PORT": str(other.port)})
        assert "serves another store or belongs to another user" in refused.stderr
        assert other.process.poll() is None


def test_a_server_that_is_killed_under_load_leaves_no_process(home: Path) -> None:
    with serving(home) as server, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(streaming(server, 100_000))
        workers = children(server)
        assert workers
        server.process.kill()
        server.wait()
        wait_until(lambda: all(is_gone(pid) for pid in workers), "no worker")


SYSTEM = "You answer for a small board, briefly, and you name the units of all that you say."


@pytest.fixture
def home_with_prompt(tiny_llm: Path, tmp_path: Path) -> Path:
    """A home with tiny-llm, whose bundle has a system prompt: its state is kept on the disk."""
    home = tmp_path / "prompted"
    (tmp_path / "prompt.txt").write_text(SYSTEM)
    options = ("--device", "raspberrypi", "--quant", "Q4_K_M", "--system", tmp_path / "prompt.txt")
    Cli(home).run("pack", tiny_llm, *options)
    return home


def chat(server: Serving) -> tuple[list[int], int]:
    """The tokens of an answer after the system prompt, and how many of the prompt's were not computed."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "What is it?"}]
    body = {"model": "tiny-llm", "messages": messages, "sampling": {"max_tokens": 12, "temperature": 0}}
    with server.client() as client:
        _, *chunks = map(json.loads, client.post("/api/edgellm/run", json=body).text.splitlines())
    tokens = [token for each in chunks for token in each["chunk"]["token_ids"]]
    return tokens, chunks[-1]["chunk"]["stats"]["cached_tokens"]


def test_after_a_kill_the_store_is_whole_and_saved_prompts_are_read_or_ignored(home_with_prompt: Path) -> None:
    home = home_with_prompt
    prefixes = home / "cache" / "prefixes"

    def saved() -> list[Path]:
        return [path for path in prefixes.rglob("*") if path.is_file() and path.stat().st_size > 10_000]

    with serving(home) as server:
        expected, _ = chat(server)
        wait_until(saved, "a saved prompt")
        stop = threading.Event()
        thread = threading.Thread(target=_keep_asking, args=(server, stop))
        thread.start()
        server.process.kill()
        stop.set()
        thread.join()
    Cli(home).run("verify")
    with serving(home) as server:
        answer, cached = chat(server)
        assert answer == expected
        assert cached > 10  # it is still valid
        server.process.kill()
    (path,) = saved()
    path.write_bytes(path.read_bytes()[:-1000])  # as if the power had gone
    with serving(home) as server:
        assert chat(server)[0] == expected
        assert server.stop() == 0


def _keep_asking(server: Serving, stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(httpx.TransportError, AssertionError, json.JSONDecodeError), streaming(server, 50):
            pass


def test_a_closed_terminal_ends_it_as_sigterm_does(home: Path) -> None:
    window, terminal = pty.openpty()
    with serving(home, stdin=terminal) as server:
        os.close(terminal)
        server.signal(signal.SIGHUP)
        wait_until(lambda: "settings read again" in server.said(), "the reload")
        os.close(window)
        server.signal(signal.SIGHUP)
        assert server.wait() == 0


def test_workers_of_a_killed_session_end_with_it(home: Path) -> None:
    with serving(home, start_new_session=True) as server, streaming(server, 100_000):
        workers = children(server)
        os.killpg(server.process.pid, signal.SIGKILL)
        server.wait()
        wait_until(lambda: all(is_gone(pid) for pid in workers), "no worker")


def test_a_signal_while_it_starts_ends_it(home: Path) -> None:
    with serving(home, ready=False) as server:
        folder = home / "run"
        wait_until(lambda: folder.exists() and any(folder.iterdir()), "listening")
        server.signal()
        assert server.wait() in (0, -signal.SIGTERM)
