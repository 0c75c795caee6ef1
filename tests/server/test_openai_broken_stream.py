"""What clients of OpenAI's read when a stream cannot go on: the model's process dies under it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from server_process import running_server

ENDLESS: dict[str, Any] = {"model": "tiny-llm", "stream": True, "ignore_eos": True, "overflow": "shift"}
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 100_000},
    "/v1/responses": {"input": "Hello"},
}


@pytest.mark.parametrize("path", REQUESTS)
def test_the_last_event_says_what_happened(path: str, packed_home: Path, tmp_path: Path) -> None:
    with running_server(packed_home, tmp_path / "log") as server, server.client() as client:
        events: list[Any] = []
        with client.stream("POST", path, json={**ENDLESS, **REQUESTS[path]}) as answer:
            for line in answer.iter_lines():
                if not line.startswith("data: "):
                    continue
                if not events:
                    _kill_worker(server.process.pid)
                events.append(line.removeprefix("data: "))
        assert answer.status_code == 200
        if path.endswith("responses"):
            last = json.loads(events[-1])
            assert last["type"] == "response.failed"
            assert last["response"]["error"]["code"] == "server_error"
        else:
            assert events.pop() == "[DONE]"
            error = json.loads(events[-1])["error"]
            assert error["type"] == "server_error"
            assert "tiny-llm" in error["message"]


def _kill_worker(server_pid: int) -> None:
    (worker,) = [
        child
        for child in psutil.Process(server_pid).children(recursive=True)
        if "edgellm_runtimes.worker" in child.cmdline()
    ]
    os.kill(worker.pid, signal.SIGKILL)
