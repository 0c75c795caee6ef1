"""What the terminal program costs: start, streaming, rest, memory, many models, and its longest step.

usage: python tests/benchmarks/tui.py [SCENARIO ...] [--work FOLDER] [--repeats N] [--tokens N] [--messages N]
                                      [--seconds N] [--json]

Scenarios: start, idle, stream, memory, models. All of them without any. Each runs the program as its users start it, in
a pseudo-terminal that takes what is painted at once; its server is a real one for `start` and `idle`, and elsewhere one
that says always the same. What is limited, and what of it was reached, is printed last. A step is what runs in the
event loop without a pause, in processor time: no frame can take longer than the longest step. Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tui_terminal import terminal

HERE = Path(__file__).parent
MODES = ("models", "jobs", "device", "chat", "logs", "settings")
SCRIPTED_MODELS = 500
TOKENS_PER_S = 30.0
LIMITS = {
    "start_s": 0.8,
    "cpu_per_token_ms": 1.5,
    "idle_percent": 1.0,
    "rss_empty_mb": 70.0,
    "rss_scrolled_mb": 110.0,
    "longest_step_ms": 50.0,
}


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
    import os

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


def start(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """From the command to the first frame, and what of it goes where. A server runs already; the store is empty."""
    rows = []
    with real_server(work / "start"):
        for _ in range(options.repeats + 1):
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
    rows = rows[1:]  # the first one reads everything from the disk
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def idle(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Processor time per second of each mode while nothing happens, and of the server for it."""
    found: dict[str, Any] = {}
    with real_server(work / "idle") as server, terminal(work / "idle", ["tui"], work) as tui:
        tui.wait_for("own server")
        found["rss_empty_mb"] = tui.cost().rss_bytes / 1e6
        for number, mode in enumerate(MODES, 1):
            tui.type(_f_key(number))
            tui.read(2.0)
            begun, cpu_s, server_s, painted = time.monotonic(), tui.cpu_s(), _cpu_s(server), tui.painted_bytes
            tui.read(options.seconds)
            took_s = time.monotonic() - begun
            found[f"{mode}_percent"] = 100 * (tui.cpu_s() - cpu_s) / took_s
            found[f"{mode}_server_percent"] = 100 * (_cpu_s(server) - server_s) / took_s
            found[f"{mode}_bytes_per_s"] = (tui.painted_bytes - painted) / took_s
    found["idle_percent"] = max(found[f"{mode}_percent"] for mode in MODES)
    return found


def stream(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Processor time of each token of a streamed answer beyond that of rest, and the longest step meanwhile."""
    home = work / "stream"
    with (
        scripted_server(home, 4, options.tokens),
        terminal(home, ["chat", "model-003:raspberrypi5-q4_k_m"], work) as tui,
    ):
        tui.wait_for("own server")
        tui.read(3.0)
        rest, begun = tui.cpu_s(), time.monotonic()
        tui.read(5.0)
        rest_per_s = (tui.cpu_s() - rest) / (time.monotonic() - begun)
        tui.type("Tell me something")
        tui.read(1.0)  # an Enter that comes at once with text is part of what was pasted
        tui.type("\r")
        tui.wait_for("small")
        tui.reset_marks()
        cpu_s, begun, painted = tui.cpu_s(), time.monotonic(), tui.painted_bytes
        tui.wait_for("THE-END", patience_s=60 + 2 * options.tokens / TOKENS_PER_S)
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


def memory(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Resident memory while a conversation of many messages is scrolled to its beginning and back."""
    home = work / "memory"
    _write_conversation(home, options.messages)
    with scripted_server(home, 4, 10), terminal(home, ["chat", "--continue"], work) as tui:
        opened = tui.wait_for(f"question {options.messages // 2 - 1} ")
        tui.wait_for("own server")
        tui.read(1.0)
        tui.type("\t")
        tui.reset_marks()
        rss, presses = [tui.cost().rss_bytes], 0
        cpu_s = tui.cpu_s()
        for key, count in (("\x1b[5~", 400), ("\x1b[6~", 200)):  # page up, page down
            for _ in range(count):
                tui.type(key)
                tui.read(0.03)
                presses += 1
                if not presses % 50:
                    rss.append(tui.cost().rss_bytes)
        tui.read(2.0)
        rss.append(tui.cost().rss_bytes)
        return {
            "messages": options.messages,
            "open_s": opened - tui.begun,
            "rss_scrolled_mb": max(rss) / 1e6,
            "cpu_per_page_ms": 1000 * (tui.cpu_s() - cpu_s) / presses,
            **_steps("scroll", tui.marks()),
        }


def models(_options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """A table of 500 models: shown, walked through, filtered, sorted."""
    home = work / "models"
    with scripted_server(home, SCRIPTED_MODELS, 1), terminal(home, ["tui"], work) as tui:
        tui.wait_for("Models")
        tui.reset_marks()  # what comes before the first frame is the start
        shown = tui.wait_for("model-000")
        tui.read(1.5)
        found = {"models": SCRIPTED_MODELS, "shown_s": shown - tui.begun, "rss_models_mb": tui.cost().rss_bytes / 1e6}
        found |= _steps("fill", tui.marks())
        cpu_s = tui.cpu_s()
        for _ in range(100):
            tui.type("\x1b[B")  # down
            tui.read(0.03)
        tui.read(0.5)
        found["cpu_per_key_ms"] = 1000 * (tui.cpu_s() - cpu_s) / 100
        found |= _steps("walk", tui.marks())
        tui.type("\x1b[1;5F")  # Ctrl+End
        tui.wait_for("model-499")
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
    conversation = Conversations(settings.paths.conversations).begin(
        ChatSettings(model="model-003:raspberrypi5-q4_k_m")
    )
    for number in range(count // 2):
        conversation.add("user", f"question {number} about *rivers* and lakes", parent=conversation.leaf)
        text = (
            f"Answer {number}:\n\n- one **point**\n- another `point`\n\n```python\nprint({number})\n```\n\nThat is all."
        )
        conversation.add("assistant", text, parent=conversation.leaf, finish="stop")
    conversation.close()


SCENARIOS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "start": start,
    "idle": idle,
    "stream": stream,
    "memory": memory,
    "models": models,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", choices=[[], *SCENARIOS], metavar="SCENARIO")
    parser.add_argument("--work", type=Path, help="folder for homes and logs; a temporary one by default")
    parser.add_argument("--repeats", type=int, default=7, help="starts")
    parser.add_argument("--tokens", type=int, default=600, help="of a streamed answer")
    parser.add_argument("--messages", type=int, default=10_000, help="of the long conversation")
    parser.add_argument("--seconds", type=float, default=15.0, help="of rest in each mode")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tui-") as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        found = {name: SCENARIOS[name](options, work) for name in options.scenarios or SCENARIOS}
    if options.json:
        print(json.dumps(found | {"limits": LIMITS}, indent=2))
    else:
        _print(found)
    return 0


def _print(found: dict[str, dict[str, Any]]) -> None:
    for scenario, values in found.items():
        print(scenario)
        for name, value in values.items():
            print(f"  {name:<28} {value:.3f}" if isinstance(value, float) else f"  {name:<28} {value}")
    print("limits")
    for values in found.values():
        for name, value in values.items():
            limit = next((limit for key, limit in LIMITS.items() if name == key or name.startswith(f"{key}_")), None)
            if limit is not None:
                print(f"  {name:<28} {value:.2f} of {limit:g}: {value / limit:.2f}")


if __name__ == "__main__":
    sys.exit(main())
