"""The scenarios of tui.py. Each returns its numbers by name, and says on the way what it does."""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tui_terminal import Terminal, terminal

__all__ = ["SCENARIOS"]

Say = Callable[[str], None]
HERE = Path(__file__).parent
MODES = ("models", "jobs", "device", "chat", "logs", "settings")
SCRIPTED_MODELS = 500
TOKENS_PER_S = 30.0
SCRIPTED_MODEL = "model-003:raspberrypi5-q4_k_m"
PAGE_UP, PAGE_DOWN, HOME, END, DOWN = "\x1b[5~", "\x1b[6~", "\x1b[H", "\x1b[F", "\x1b[B"


@contextlib.contextmanager
def real_server(home: Path) -> Iterator[int]:
    """The process id of `edgellm serve` over an empty store in ``home``."""
    command = [sys.executable, "-P", "-m", "edgellm.cli.main", "serve", "--json", "--socket-only", "--no-request-log"]
    with _child(command, home) as process:
        yield process.pid


@contextlib.contextmanager
def scripted_server(home: Path, models: int, tokens: int) -> Iterator[int]:
    """The process id of a server that says always the same."""
    arguments = [str(home), str(models), str(TOKENS_PER_S), str(tokens)]
    with _child([sys.executable, str(HERE / "tui_server.py"), *arguments], home) as process:
        yield process.pid


@contextlib.contextmanager
def _child(command: list[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    home.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "EDGELLM_HOME": str(home), "EDGELLM_SYSTEM_STORE": ""}
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"the server did not start: {(home / 'server.log').read_text()}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def start(options: argparse.Namespace, work: Path, say: Say) -> dict[str, Any]:
    """From the command to the first frame, and what of it goes where. A server runs already; the store is empty."""
    rows = []
    with real_server(work / "start"):
        for number in range(options.repeats + 1):
            with terminal(work / "start", ["tui"], work, columns=80, rows=24) as tui:
                painted = tui.wait_for("Models")
                tui.wait_for("own server")
                tui.read(0.3)
                marks = tui.marks()
                moments = [tui.begun, marks["python"], marks["command"], marks["app"], marks["painted"]]
                names = ("interpreter_s", "command_line_s", "textual_s", "app_s")
                split = {
                    name: later - moments[place]
                    for place, (name, later) in enumerate(zip(names, moments[1:], strict=True))
                }
                rows.append({"start_s": painted - tui.begun, "start_cpu_s": marks["painted_cpu_s"], **split})
            say(f"start {number} of {options.repeats}: {rows[-1]['start_s']:.3f} s")
    rows = rows[1:]  # the first one reads everything from the disk
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def idle(options: argparse.Namespace, work: Path, say: Say) -> dict[str, Any]:
    """Processor time per second of each mode while nothing happens, and of the server for it."""
    found: dict[str, Any] = {}
    with real_server(work / "idle") as server, terminal(work / "idle", ["tui"], work) as tui:
        tui.wait_for("own server")
        found["rss_empty_mb"] = tui.cost().rss_bytes / 1e6
        for number, mode in enumerate(MODES, 1):
            say(f"{mode} for {options.seconds:g} s")
            tui.type(_f_key(number))
            tui.read(2.0)
            begun, cpu_s, server_s, painted = time.monotonic(), tui.cpu_s(), _cpu_s(server), tui.painted_bytes
            tui.read(options.seconds)
            took_s = time.monotonic() - begun
            found[f"{mode}_percent"] = 100 * (tui.cpu_s() - cpu_s) / took_s
            found[f"{mode}_server_percent"] = 100 * (_cpu_s(server) - server_s) / took_s
            found[f"{mode}_bytes_per_s"] = (tui.painted_bytes - painted) / took_s
            say(f"{mode}: {found[f'{mode}_percent']:.2f} % of a core")
    found["idle_percent"] = max(found[f"{mode}_percent"] for mode in MODES)
    return found


def stream(options: argparse.Namespace, work: Path, say: Say) -> dict[str, Any]:
    """Processor time of each token of a streamed answer beyond that of rest, and the longest step meanwhile."""
    home = work / "stream"
    with (
        scripted_server(home, 4, options.tokens),
        terminal(home, ["chat", SCRIPTED_MODEL], work) as tui,
    ):
        tui.wait_for("own server")
        say("at rest")
        tui.read(3.0)
        rest, begun = tui.cpu_s(), time.monotonic()
        tui.read(5.0)
        rest_per_s = (tui.cpu_s() - rest) / (time.monotonic() - begun)
        tui.type("Tell me something")
        tui.read(1.0)  # an Enter that comes at once with text is part of what was pasted
        tui.type("\r")
        tui.wait_for("small")
        say(f"{options.tokens} tokens, {TOKENS_PER_S:g} a second")
        tui.reset_marks()
        cpu_s, begun, painted = tui.cpu_s(), time.monotonic(), tui.painted_bytes
        tui.wait_for("THE-END", patience_s=20 + 1.5 * options.tokens / TOKENS_PER_S)
        took_s = time.monotonic() - begun
        spent_s = tui.cpu_s() - cpu_s
        marks = tui.marks()
        return {
            "cpu_per_token_ms": 1000 * (spent_s - rest_per_s * took_s) / options.tokens,
            "cpu_per_token_with_rest_ms": 1000 * spent_s / options.tokens,
            "stream_bytes_per_token": (tui.painted_bytes - painted) / options.tokens,
            "stream_tokens_per_s": options.tokens / took_s,
            **_steps("stream", marks),
        }


def memory(options: argparse.Namespace, work: Path, say: Say) -> dict[str, Any]:
    """Resident memory while a conversation of many messages is scrolled to its beginning and back."""
    home = work / "memory"
    say(f"a conversation of {options.messages} messages is written")
    _write_conversation(home, options.messages)
    with scripted_server(home, 4, 10), terminal(home, ["chat", "--continue"], work) as tui:
        opened = tui.wait_for(f"question {options.messages // 2 - 1} ")
        tui.wait_for("own server")
        tui.read(1.0)
        tui.type("\t")  # to the messages
        tui.read(0.5)
        tui.reset_marks()
        scrolling = _Scrolling(tui)
        cpu_s = tui.cpu_s()
        pages = min(400, options.messages)
        for key, what, count in (
            (PAGE_UP, "up", pages),
            (HOME, "to the first one", 1),
            (PAGE_DOWN, "down", pages // 2),
        ):
            say(f"{count} x {what}")
            scrolling.press(key, count)
            if key == HOME:
                tui.wait_for("question 0 ")  # it is scrolled indeed
        tui.forget()
        scrolling.press(END, 1)
        tui.wait_for(f"question {options.messages // 2 - 1} ")
        scrolling.look()
        return {
            "messages": options.messages,
            "open_s": opened - tui.begun,
            "rss_scrolled_mb": scrolling.most_bytes / 1e6,
            "cpu_per_page_ms": 1000 * (tui.cpu_s() - cpu_s) / scrolling.presses,
            **_steps("scroll", tui.marks()),
        }


class _Scrolling:
    """Presses keys, and knows the most memory that the program has had meanwhile."""

    def __init__(self, tui: Terminal) -> None:
        self._tui = tui
        self.presses = 0
        self.most_bytes = 0
        self.look()

    def press(self, key: str, count: int) -> None:
        for _ in range(count):
            self._tui.type(key)
            self._tui.read(0.03)
            self.presses += 1
            if not self.presses % 50:
                self.look()

    def look(self) -> None:
        self.most_bytes = max(self.most_bytes, self._tui.cost().rss_bytes)


def models(_options: argparse.Namespace, work: Path, say: Say) -> dict[str, Any]:
    """A table of 500 models: shown, walked through, filtered, sorted."""
    home = work / "models"
    with scripted_server(home, SCRIPTED_MODELS, 1), terminal(home, ["tui"], work) as tui:
        tui.wait_for("Models")
        tui.reset_marks()  # what comes before the first frame is the start
        shown = tui.wait_for("model-000")
        tui.read(1.5)
        found = {"models": SCRIPTED_MODELS, "shown_s": shown - tui.begun, "rss_models_mb": tui.cost().rss_bytes / 1e6}
        found |= _steps("fill", tui.marks())
        say("they are there; walking through them")
        cpu_s = tui.cpu_s()
        for _ in range(100):
            tui.type(DOWN)
            tui.read(0.03)
        tui.read(0.5)
        found["cpu_per_key_ms"] = 1000 * (tui.cpu_s() - cpu_s) / 100
        found |= _steps("walk", tui.marks())
        tui.type("\x1b[1;5F")  # Ctrl+End
        tui.wait_for("model-499")
        say("filtering")
        tui.type("/")
        for key in "model-2":
            tui.type(key)
            tui.read(0.2)
        tui.read(0.5)
        return found | _steps("filter", tui.marks())


def _steps(name: str, marks: dict[str, Any]) -> dict[str, Any]:
    return {f"longest_step_ms_{name}": marks["longest_step_ms"], f"longest_step_{name}": marks["longest_step"]}


def _f_key(number: int) -> str:
    return ("\x1bOP", "\x1bOQ", "\x1bOR", "\x1bOS", "\x1b[15~", "\x1b[17~")[number - 1]


def _cpu_s(pid: int) -> float:
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def _write_conversation(home: Path, count: int) -> None:
    from edgellm.settings import load_settings
    from edgellm.tui.chat import journal
    from edgellm.tui.chat.conversations import Conversations
    from edgellm.tui.chat.records import ChatSettings

    settings = load_settings(environ={"EDGELLM_HOME": str(home)}, system_config=home / "none")
    journal.sync_data = lambda _descriptor: None  # type: ignore[assignment]  # ten thousand times would take minutes
    conversation = Conversations(settings.paths.conversations).begin(ChatSettings(model=SCRIPTED_MODEL))
    for number in range(count // 2):
        conversation.add("user", f"question {number} about *rivers* and lakes", parent=conversation.leaf)
        text = (
            f"Answer {number}:\n\n- one **point**\n- another `point`\n\n```python\nprint({number})\n```\n\nThat is all."
        )
        conversation.add("assistant", text, parent=conversation.leaf, finish="stop")
    conversation.close()


SCENARIOS: dict[str, Callable[[argparse.Namespace, Path, Say], dict[str, Any]]] = {
    "start": start,
    "idle": idle,
    "stream": stream,
    "memory": memory,
    "models": models,
}
