"""Where a server listens, what it says about it, and what is in the way."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serve_rig import serving, wait_until

from cli_process import Cli
from edgellm.running import running_servers
from server_process import free_port


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


class _OllamaLike(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"Ollama is running" if self.path == "/" else b"404 page not found"
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing on stderr."""


@contextlib.contextmanager
def an_ollama() -> Iterator[int]:
    """Something that greets as Ollama does; its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OllamaLike) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_port_0_takes_a_free_one_and_says_which(home: Path) -> None:
    with serving(home) as server:
        assert server.told["url"] == f"http://127.0.0.1:{server.port}"
        with server.client() as client:
            assert client.get("/api/edgellm/server").json() == server.told


def test_the_variables_that_apps_read_are_printed(home: Path, tmp_path: Path) -> None:
    port = str(free_port())
    command = [*Cli(home).command("serve", "--port", port)]
    with serving(home, command=command, ready=False) as server:
        assert server.process.stdout is not None
        lines = [server.process.stdout.readline().decode().strip() for _ in range(4)]
    assert lines == [
        f"OPENAI_BASE_URL=http://127.0.0.1:{port}/v1",
        f"OLLAMA_HOST=http://127.0.0.1:{port}",
        f"ANTHROPIC_BASE_URL=http://127.0.0.1:{port}",
        f"EDGELLM_SOCKET={home}/run/edgellm.sock",
    ]


def test_host_and_port_come_from_the_settings_too(home: Path) -> None:
    port = free_port()
    command = Cli(home).command("serve", "--json")
    environment = {"EDGELLM_HOST": "localhost", "EDGELLM_PORT": str(port)}
    with serving(home, command=command, environment=environment) as server:
        assert server.port == port
        assert httpx.get(f"http://127.0.0.1:{port}/api/edgellm/version", trust_env=False).status_code == 200


def test_the_unix_socket_answers_and_is_its_users_alone(home: Path) -> None:
    with serving(home) as server:
        assert server.socket == f"{home}/run/edgellm.sock"
        assert stat.S_IMODE(Path(server.socket).stat().st_mode) == 0o600
        with server.unix_client() as client:
            assert client.get("/api/edgellm/server").json()["pid"] == server.process.pid


def test_the_unix_socket_alone(home: Path) -> None:
    with serving(home, "--socket-only") as server:
        assert server.told["url"] is None
        with server.unix_client() as client:
            assert client.get("/api/edgellm/version").status_code == 200
    assert json.loads(Cli(home).run("ps", "--json", environment={"EDGELLM_PORT": "0"}).stdout) == []


def test_no_socket(home: Path) -> None:
    with serving(home, "--no-socket") as server:
        assert server.told["socket"] is None
        assert not (home / "run" / "edgellm.sock").exists()
        (found,) = running_servers(home / "run")
        assert found.url == server.url


def test_a_home_whose_name_is_too_long_for_a_socket(tmp_path: Path) -> None:
    home = tmp_path / ("n" * 100)
    with serving(home, environment={"TMPDIR": str(tmp_path)}) as server:
        assert len(server.socket.encode()) <= 107
        with server.unix_client() as client:
            assert client.get("/api/edgellm/version").status_code == 200
        assert Path(server.socket).parent.stat().st_mode & 0o077 == 0


def test_a_socket_path_that_is_too_long_is_refused(home: Path) -> None:
    refused = Cli(home).run("serve", "--port", "0", "--socket", "/tmp/" + "s" * 120, status=2)
    assert "too long" in refused.stderr


def test_the_runtime_file_is_there_while_it_runs(home: Path) -> None:
    with serving(home) as server:
        path = home / "run" / f"edgellm-{server.process.pid}.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert json.loads(path.read_text()) == server.told
        assert server.told["store"] == str(home / "store")
        assert server.stop() == 0
        assert list((home / "run").iterdir()) == []


def test_a_killed_server_leaves_nothing_that_anybody_believes(home: Path) -> None:
    with serving(home) as server:
        server.process.kill()
        server.wait()
        left = {path.name for path in (home / "run").iterdir()}
        assert left == {"edgellm.sock", f"edgellm-{server.process.pid}.json"}
        with serving(home) as second:
            assert second.socket == server.socket
            assert [found.pid for found in running_servers(home / "run")] == [second.process.pid]
        assert f"edgellm-{server.process.pid}.json" not in {path.name for path in (home / "run").iterdir()}


def test_a_file_that_names_a_process_which_is_something_else_is_stale(home: Path) -> None:
    folder = home / "run"
    folder.mkdir(parents=True, mode=0o700)
    path = folder / f"edgellm-{os.getpid()}.json"  # a process that lives
    path.write_text(json.dumps({"pid": os.getpid(), "version": "0", "store": "/s", "started": 0, "url": "http://x"}))
    assert running_servers(folder) == []
    assert not path.exists()


def test_a_runtime_folder_that_others_can_write_is_refused(home: Path) -> None:
    (home / "run").mkdir(parents=True)
    (home / "run").chmod(0o777)
    refused = Cli(home).run("serve", "--port", "0", status=1)
    assert "can be written by others" in refused.stderr
    assert f"chmod 700 {home}/run" in refused.stderr


def test_two_servers_on_one_port(home: Path, tmp_path: Path) -> None:
    with serving(home) as server:
        refused = Cli(home).run("serve", "--port", str(server.port), status=1)
        assert f"port {server.port} of 127.0.0.1 is taken by another edgellm server" in refused.stderr
        assert f"process {server.process.pid}, store {home}/store" in refused.stderr
        assert "--port" in refused.stderr.split("hint:")[1]
        # nothing of the first one was touched
        with server.unix_client() as client:
            assert client.get("/api/edgellm/version").status_code == 200
        assert [found.pid for found in running_servers(home / "run")] == [server.process.pid]
        # of another home: the process table says whose it is
        other = Cli(tmp_path / "other").run("serve", "--port", str(server.port), status=1)
        assert f"(process {server.process.pid})" in other.stderr


def test_two_servers_of_one_store(home: Path) -> None:
    with serving(home) as first, serving(home) as second:
        assert first.socket != second.socket
        assert [found.pid for found in running_servers(home / "run")] == [first.process.pid, second.process.pid]
        wait_until(lambda: f"{first.url} serves this store too" in second.said(), "the warning")
        assert first.stop() == 0
        with second.client() as client, second.unix_client() as other:
            assert client.get("/api/edgellm/version").status_code == 200
            assert other.get("/api/edgellm/version").status_code == 200


def test_an_ollama_on_the_port_is_named_and_a_free_port_suggested(home: Path) -> None:
    with an_ollama() as port:
        refused = Cli(home).run("serve", "--port", str(port), status=1)
        assert f"port {port} of 127.0.0.1 is taken by Ollama" in refused.stderr
        assert f"(process {os.getpid()})" in refused.stderr
        suggested = int(refused.stderr.rsplit("--port ", 1)[1])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", suggested))


def test_a_program_that_says_nothing_on_the_port_is_named_by_its_process(home: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        refused = Cli(home).run("serve", "--port", str(silent.getsockname()[1]), status=1)
    assert f"(process {os.getpid()})" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--host", "192.0.2.1"], 2, "this machine has no address 192.0.2.1"),
        (["--host", "no such host"], 2, "there is no address"),
        (["--port", "70000"], 2, "70000"),
        (["--socket", "/dev/null"], 2, "is no socket"),
        (["--no-socket", "--socket-only"], 2, "contradicts"),
        (["--tls-cert", "cert.pem"], 2, "without its key"),
    ],
)
def test_what_cannot_be_listened_on_is_said(home: Path, arguments: list[str], status: int, expected: str) -> None:
    refused = Cli(home).run("serve", "--port", "0", *arguments, status=status)
    assert expected in refused.stderr
    assert refused.stdout == ""


def test_a_client_that_connects_and_leaves_at_once_disturbs_nobody(home: Path) -> None:
    with serving(home) as server:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)):
                pass
        with server.client() as client:
            wait_until(lambda: client.get("/api/edgellm/version").status_code == 200, "an answer")
        assert server.stop() == 0
