"""A server whose model does nothing any more answers everything else, and gets the model back."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from server_process import running_server

CHAT = "/v1/chat/completions"
BODY = {"model": "tiny-llm", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
CALLS = (
    (CHAT, BODY),
    ("/tokenize", {"content": "one two three"}),
    ("/detokenize", {"tokens": [5, 6, 7]}),
    ("/v1/embeddings", {"model": "tiny-llm", "input": ["one", "two"]}),
)
IN_VAIN = 24  # more than a server of few processors has threads


def status_of(client: httpx.Client) -> dict[str, Any]:
    (status,) = client.get("/api/edgellm/ps").json()
    found: dict[str, Any] = status
    return found


def test_a_worker_that_is_stopped_holds_up_nothing_else(
    packed_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'serve' in sys.orig_argv:\n"
        "    import edgellm_runtimes.worker.core as core\n"
        "    policy = core.WatchPolicy(interval_s=0.2, still_s=12.0)\n"
        "    core.WatchPolicy = lambda: policy\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with running_server(packed_home, tmp_path / "log") as server, server.client() as client:
        assert client.post(CHAT, json=BODY).status_code == 200
        pid = status_of(client)["pid"]

        def ask(number: int) -> httpx.Response:
            path, body = CALLS[number % len(CALLS)]
            with server.client() as own:
                return own.post(path, json=body)

        with ThreadPoolExecutor(IN_VAIN) as threads:
            os.kill(pid, signal.SIGSTOP)
            try:
                asked = threads.map(ask, range(IN_VAIN))
                while "edgellm_requests_in_work 24" not in client.get("/metrics").text:
                    pass
                for look in ("/health", "/v1/models", "/api/edgellm/ps", "/api/tags", "/metrics"):
                    assert client.get(look).status_code == 200
                assert status_of(client)["pid"] == pid  # and it still is
                answers = list(asked)
            finally:
                if Path(f"/proc/{pid}").exists():
                    os.kill(pid, signal.SIGCONT)
        lost = [answer for answer in answers if answer.status_code != 200]  # the others came to its successor
        assert lost
        assert all(answer.status_code >= 500 and "stopped by a signal" in answer.text for answer in lost)
        for path, body in CALLS:
            again = client.post(path, json=body)
            assert again.status_code == 200, again.text
        assert status_of(client)["starts"] == 2
