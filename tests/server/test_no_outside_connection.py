"""`run` and `serve` open no connection to the outside by themselves."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from homes import home_over
from serve_rig import serve_command, serving

from cli_process import Cli

# Loaded by every Python process of a test, workers and helpers too. It sees what Python asks the system for.
WATCH = """
import os, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1] if len(arguments) > 1 else None
        if isinstance(address, tuple) and not str(address[0]).startswith(("127.", "::1")):
            note(event, address)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        if arguments[0] not in (None, "", "127.0.0.1", "::1", "localhost", b"127.0.0.1", b"localhost"):
            note(event, arguments[0])

def note(event, what):
    with open(os.environ["WATCHED_CONNECTIONS"], "a") as file:
        file.write(f"{event} {what!r} by {sys.argv}\\n")
    raise OSError(101, "Network is unreachable")

sys.addaudithook(watch)
"""


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that names every connection to the outside that was tried; all of them fail."""
    folder, log = tmp_path / "watch", tmp_path / "connections"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WATCH)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("WATCHED_CONNECTIONS", str(log))
    log.write_text("")
    return log


def test_the_watch_sees_a_connection(watched: Path) -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 1
    assert "192.0.2.1" in watched.read_text()


def test_neither_run_nor_serve_connects_to_anybody(watched: Path, packed_home: Path, tmp_path: Path) -> None:
    home = home_over(packed_home, tmp_path)
    cli = Cli(home)
    cli.run("run", "tiny-llm", "Hello", "--max-tokens", "2", "--local", "--cache-chats")
    with serving(home) as server:
        cli.run("run", "tiny-llm", "Hello", "--max-tokens", "2")
        cli.run("ps")
        body = {"model": "tiny-llm", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
        with server.client() as client:
            assert client.post("/v1/chat/completions", json=body).status_code == 200
            assert client.get("/", headers={"accept": "text/html"}).status_code == 200
            assert client.get("/metrics").status_code == 200
        cli.run("stop", "tiny-llm")
        assert server.stop() == 0
    assert watched.read_text() == ""


def test_both_work_where_there_is_no_network(packed_home: Path, tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    namespace = [unshare or "", "--user", "--map-root-user", "--net"]
    if unshare is None or subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs unshare, and the right to make network namespaces")
    home = home_over(packed_home, tmp_path)
    environment = {**os.environ, "EDGELLM_HOME": str(home)}
    run = [*namespace, *Cli(home).command("run", "tiny-llm", "Hello", "--max-tokens", "2", "--json")]
    done = subprocess.run(run, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["timings"]["generated_tokens"] == 2
    # a Unix socket crosses network namespaces: the server is asked from here
    with serving(home, command=[*namespace, *serve_command("--socket-only")]) as server:
        answer = json.loads(Cli(home).run("run", "tiny-llm", "Hello", "--max-tokens", "2", "--json").stdout)
        assert answer["timings"]["generated_tokens"] == 2
        with server.unix_client() as client, contextlib.suppress(httpx.HTTPError):
            assert client.get("/api/edgellm/version").status_code == 200
