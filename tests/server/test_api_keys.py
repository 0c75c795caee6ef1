"""Who is let in by a running server, and what it tells those that are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cli_process import Cli
from server_process import free_port, running_server

VERSION = "/api/edgellm/version"


def _error(answer: httpx.Response) -> str:
    error = answer.json()["error"]
    return f"{error['message']} {error['hint']}"


def test_an_address_that_others_reach_needs_a_key_or_a_network(tmp_path: Path) -> None:
    cli, port = Cli(tmp_path), str(free_port())
    refused = cli.run("serve", "--host", "0.0.0.0", "--port", port, status=2)
    assert "edgellm key add" in refused.stderr
    assert "--no-key --allow" in refused.stderr
    assert "--allow" in cli.run("serve", "--host", "0.0.0.0", "--port", port, "--no-key", status=2).stderr
    assert not list(tmp_path.rglob("*.sock"))


def test_with_a_key_exactly_its_holders_are_answered_until_it_is_revoked(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    phone = cli.json("key", "add", "phone")["key"]
    robot = cli.run("key", "add", "robot").stdout.strip()
    assert [key["name"] for key in cli.json("key", "list")] == ["phone", "robot"]
    with running_server(tmp_path, tmp_path / "log", "--host", "0.0.0.0") as server, server.client() as client:
        refused = client.get(VERSION)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert "edgellm key add" in _error(refused)
        for headers in (
            {"authorization": f"Bearer {phone}"},
            {"x-api-key": phone},
            {"authorization": f"bearer {robot}"},
        ):
            assert client.get(VERSION, headers=headers).status_code == 200
        for headers in ({"authorization": phone}, {"x-api-key": phone[:-1]}, {"authorization": "Basic eDp5"}):
            assert client.get(VERSION, headers=headers).status_code == 401
        assert client.get("/health").status_code == 200
        assert client.get("/", headers={"accept": "text/html"}).status_code == 200
        assert client.get("/metrics").status_code == 401
        assert client.post("/health").status_code == 401
        body = {"model": "x", "messages": []}
        denied = client.post("/v1/messages", json=body)
        assert denied.status_code == 401
        assert denied.json()["error"]["type"] == "authentication_error"  # each dialect says it in its own form
        cli.run("key", "revoke", "phone")
        assert client.get(VERSION, headers={"x-api-key": phone}).status_code == 401
        assert client.get(VERSION, headers={"x-api-key": robot}).status_code == 200
        socket = httpx.HTTPTransport(uds=str(tmp_path / "run" / "edgellm.sock"))
        with httpx.Client(transport=socket, base_url="http://edgellm") as own:
            assert own.get(VERSION).status_code == 200  # whoever may open the socket is this user
    log = server.log.read_text()
    assert phone not in log
    assert robot not in log
    assert "caller=phone" in log


def test_without_keys_for_a_network_there_is_a_warning_at_each_start(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, tmp_path / "log", "--host", "0.0.0.0", "--no-key", "--allow", "10.0.0.0/8") as server,
        server.client() as client,
    ):
        assert client.get(VERSION).status_code == 200
    assert "warning: everybody in 10.0.0.0/8" in server.log.read_text()


def test_a_local_server_takes_whatever_key_a_client_has_unless_it_wants_one(tmp_path: Path) -> None:
    with running_server(tmp_path, tmp_path / "log") as server, server.client() as client:
        assert client.get(VERSION, headers={"authorization": "Bearer ollama"}).status_code == 200
    key = Cli(tmp_path).run("key", "add", "me").stdout.strip()
    with running_server(tmp_path, tmp_path / "log", "--require-key") as server, server.client() as client:
        assert client.get(VERSION, headers={"authorization": "Bearer ollama"}).status_code == 401
        assert client.get(VERSION, headers={"authorization": f"Bearer {key}"}).status_code == 200


def test_pages_and_names_are_known_or_named(tmp_path: Path) -> None:
    with (
        running_server(
            tmp_path, tmp_path / "log", "--origin", "https://chat.example", "--allowed-host", "pi.home"
        ) as server,
        server.client() as client,
    ):
        rebound = client.get(VERSION, headers={"host": f"evil.example:{server.port}"})
        assert rebound.status_code == 403
        assert "--allowed-host evil.example" in _error(rebound)
        foreign = client.post("/v1/chat/completions", json={}, headers={"origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert "--origin https://evil.example" in foreign.text
        assert "access-control-allow-origin" not in foreign.headers
        assert client.get(VERSION, headers={"host": "pi.home"}).status_code == 200
        for origin in ("https://chat.example", "http://localhost:5173"):
            answer = client.get(VERSION, headers={"origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["vary"] == "Origin"
            asked = client.options(
                "/v1/chat/completions",
                headers={
                    "origin": origin,
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization, content-type",
                },
            )
            assert asked.status_code == 204
            assert "POST" in asked.headers["access-control-allow-methods"]
            assert asked.headers["access-control-allow-headers"] == "authorization, content-type"


@pytest.mark.parametrize("options", [["--no-key", "--require-key", "--allow", "10.0.0.0/8"], ["--origin", "*"]])
def test_options_that_make_no_sense_end_the_start(tmp_path: Path, options: list[str]) -> None:
    Cli(tmp_path).run("serve", "--port", str(free_port()), *options, status=2)


def test_keys_are_listed_without_importing_the_server(tmp_path: Path) -> None:
    code = (
        "import sys; from edgellm.cli.main import run; run(['key', 'list']);"
        "sys.exit('starlette' in sys.modules or 'numpy' in sys.modules)"
    )
    environment = {**os.environ, "EDGELLM_HOME": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=60).returncode == 0
