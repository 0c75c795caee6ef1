"""What systemd and the server say to each other, and the units."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serve_rig import serve_command, serving

from cli_process import Cli
from edgellm.errors import UsageError
from edgellm.server.units import UNITS, unit_text

WAIT_S = 60.0


@contextlib.contextmanager
def service_manager(folder: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """The end that systemd has of NOTIFY_SOCKET, and the variables that it sets."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(WAIT_S)
        yield manager, {"NOTIFY_SOCKET": str(path)}


def heard_until(manager: socket.socket, text: str) -> list[str]:
    """Messages up to the one that begins with ``text``."""
    heard: list[str] = []
    while not heard or not heard[-1].startswith(text):
        heard.append(manager.recv(4096).decode())
    return heard


def test_it_says_ready_reloading_and_stopping(tmp_path: Path) -> None:
    with (
        service_manager(tmp_path) as (manager, environment),
        serving(tmp_path / "home", environment=environment) as server,
    ):
        (ready,) = heard_until(manager, "READY=1")
        assert server.url in ready
        server.signal(signal.SIGHUP)
        (reloading,) = heard_until(manager, "RELOADING=1\nMONOTONIC_USEC=")
        assert reloading.rsplit("=", 1)[1].isdecimal()
        heard_until(manager, "READY=1")
        server.signal()
        heard_until(manager, "STOPPING=1")
        assert server.wait() == 0


def test_an_abstract_notify_socket(tmp_path: Path) -> None:
    name = f"edgellm-test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(WAIT_S)
        with serving(tmp_path / "home", environment={"NOTIFY_SOCKET": f"@{name}"}):
            heard_until(manager, "READY=1")


def test_the_watchdog_is_fed_while_the_loop_turns(tmp_path: Path) -> None:
    with service_manager(tmp_path) as (manager, environment):
        environment["WATCHDOG_USEC"] = "200000"
        with serving(tmp_path / "home", environment=environment) as server:
            for _ in range(3):
                heard_until(manager, "WATCHDOG=1")
            assert server.stop() == 0


def test_another_process_is_not_the_one_that_is_watched(tmp_path: Path) -> None:
    with service_manager(tmp_path) as (manager, environment):
        environment |= {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
        with serving(tmp_path / "home", environment=environment) as server:
            heard_until(manager, "READY=1")
            server.signal()
            assert not any("WATCHDOG" in message for message in heard_until(manager, "STOPPING=1"))


def activated(listeners: list[socket.socket], *arguments: str) -> list[str]:
    """A command that finds ``listeners`` where systemd puts them, and its own process id in LISTEN_PID."""
    moves = "".join(f"os.dup2({each.fileno()}, {index + 100});" for index, each in enumerate(listeners))
    moves += "".join(f"os.dup2({index + 100}, {index + 3});" for index in range(len(listeners)))
    code = (
        f"import os, sys; {moves} os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='{len(listeners)}');"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", code, *serve_command(*arguments)]


def test_it_answers_on_the_sockets_that_systemd_opened(tmp_path: Path) -> None:
    unix_path = tmp_path / "activated.sock"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix:
        unix.bind(str(unix_path))
        unix.listen()
        listeners = [tcp, unix]
        command = activated(listeners, "--port", "1")
        options = {"pass_fds": [each.fileno() for each in listeners]}
        with serving(tmp_path / "home", command=command, **options) as server:
            assert server.port == tcp.getsockname()[1]
            assert server.socket == str(unix_path)
            tcp.close()
            unix.close()
            with server.client() as client, server.unix_client() as other:
                assert client.get("/api/edgellm/version").status_code == 200
                assert other.get("/api/edgellm/version").status_code == 200
            assert server.stop() == 0
    assert unix_path.exists()  # it is systemd's


def test_a_request_that_came_before_the_server_is_answered(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as early:
            early.sendall(b"GET /api/edgellm/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            with serving(tmp_path / "home", command=activated([tcp]), pass_fds=[tcp.fileno()]):
                early.settimeout(WAIT_S)
                assert early.recv(100).startswith(b"HTTP/1.1 200")


def test_sockets_for_another_process_are_left_alone(tmp_path: Path) -> None:
    with serving(tmp_path / "home", environment={"LISTEN_PID": "1", "LISTEN_FDS": "1"}) as server:
        assert httpx.get(f"{server.url}/api/edgellm/version", trust_env=False).status_code == 200


def test_a_descriptor_that_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    with (
        socket.socket() as idle,
        serving(tmp_path / "home", command=activated([idle]), pass_fds=[idle.fileno()], ready=False) as server,
    ):
        assert server.wait() == 2
        assert "does not listen" in server.said()


def test_the_units_are_what_systemd_accepts(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    cli = Cli(tmp_path)
    for name, file in (("service", "edgellm.service"), ("socket", "edgellm.socket")):
        text = cli.run("serve", "--port", "8080", f"--print-unit={name}").stdout
        (tmp_path / file).write_text(text)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "edgellm.service").write_text(cli.run("serve", "--print-unit=user-service").stdout)
    for paths in ([tmp_path / "edgellm.service", tmp_path / "edgellm.socket"], [tmp_path / "user" / "edgellm.service"]):
        done = subprocess.run([analyze, "verify", *paths], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_the_sysusers_file_makes_the_user_of_the_service(tmp_path: Path) -> None:
    sysusers = shutil.which("systemd-sysusers")
    if sysusers is None:
        pytest.skip("needs systemd-sysusers")
    (tmp_path / "etc").mkdir()
    text = Cli(tmp_path).run("serve", "--print-unit=sysusers").stdout
    subprocess.run([sysusers, f"--root={tmp_path}", "-"], input=text.encode(), check=True, timeout=60)
    user = next(line for line in (tmp_path / "etc" / "passwd").read_text().splitlines() if line.startswith("edgellm:"))
    assert user.endswith(":/var/lib/edgellm:/usr/sbin/nologin")
    service = Cli(tmp_path).run("serve", "--print-unit").stdout
    assert "\nUser=edgellm\n" in service


def test_a_unit_starts_what_was_typed(tmp_path: Path) -> None:
    (tmp_path / "my settings.toml").write_text("")
    cli = Cli(tmp_path)
    unit = cli.run(
        *("--config", "my settings.toml", "serve", "--port", "8080", "--tls-cert", "a.pem", "--tls-key", "50%.pem"),
        *("--no-socket", "--json", "--print-unit"),
        cwd=tmp_path,
    ).stdout
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = f'--config "{tmp_path}/my settings.toml" serve --port 8080 --no-socket'
    assert line.endswith(f" {words} --tls-cert {tmp_path}/a.pem --tls-key {tmp_path}/50%%.pem")


@pytest.mark.parametrize(
    ("word", "written"),
    [("plain", "plain"), ("two words", '"two words"'), ("50%", "50%%"), ("$HOME", "$$HOME"), ('a"b', '"a\\"b"')],
)
def test_words_are_written_as_systemd_reads_them(word: str, written: str) -> None:
    assert f"\nExecStart=edgellm {written}\n" in unit_text("service", ["edgellm", word], "127.0.0.1:1")


def test_what_no_unit_can_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot hold"):
        unit_text("service", ["a\nUser=root"], "127.0.0.1:1")
    with pytest.raises(UsageError, match="no systemd file"):
        unit_text("timer", ["edgellm"], "127.0.0.1:1")


def test_every_unit_is_whole() -> None:
    for name in UNITS:
        assert "@" not in unit_text(name, ["edgellm", "serve"], "127.0.0.1:11434").replace("@gid", "")
