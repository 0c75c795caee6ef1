"""Health, gauges, settings, the log and statistics of a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from server_process import RunningServer, running_server


def events(lines: Iterator[str]) -> Iterator[Any]:
    for line in lines:
        if line:
            assert line.startswith("data: ")
            yield json.loads(line.removeprefix("data: "))


def test_health_is_what_clients_of_llama_server_look_for(server: RunningServer) -> None:
    with server.client() as client:
        for path in ("/health", "/v1/health"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert answer.json()["status"] == "ok"
            assert answer.json()["state"] == "ok"


def test_gauges_of_the_device(server: RunningServer) -> None:
    import psutil

    with server.client() as client:
        client.get("/api/edgellm/device")
        gauges = client.get("/api/edgellm/device").json()
    assert gauges["memory_total_bytes"] == psutil.virtual_memory().total
    assert 0 < gauges["memory_available_bytes"] <= gauges["memory_total_bytes"]
    assert gauges["swap_total_bytes"] == psutil.swap_memory().total
    assert 0 < gauges["disk_free_bytes"] <= gauges["disk_total_bytes"]
    assert set(gauges["health"]) >= {"temperature_c", "throttled_now", "under_voltage_now"}


def test_settings_with_their_origin_are_those_of_the_command(server: RunningServer) -> None:
    with server.client() as client:
        settings = client.get("/api/edgellm/settings").json()
    assert settings["keep_alive"] == {"value": "5m", "origin": "default"}
    assert settings["store"]["origin"] == "EDGELLM_HOME"


def test_what_a_flag_says_has_the_flag_as_its_origin(packed_home: Path, tmp_path: Path) -> None:
    flags = ("--keep-alive", "90s", "--memory-budget", "2GiB", "--drain", "3", "--no-socket")
    with running_server(packed_home, tmp_path / "log", *flags) as server, server.client() as client:
        settings = client.get("/api/edgellm/settings").json()
    assert settings["keep_alive"] == {"value": "90s", "origin": "--keep-alive"}
    assert settings["memory_budget"] == {"value": "2.0 GiB", "origin": "--memory-budget"}
    assert settings["drain_s"] == {"value": 3.0, "origin": "--drain"}
    assert settings["socket"] == {"value": "", "origin": "--no-socket"}
    assert settings["threads"] == {"value": 0, "origin": "default"}


def test_statistics_count_what_was_generated(server: RunningServer) -> None:
    with server.client() as client:
        before = counters(client)
        body = {"model": "tiny-llm", "prompt": "Once", "sampling": {"max_tokens": 5, "temperature": 0}}
        lines = client.post("/api/edgellm/run", json=body)
        assert lines.status_code == 200, lines.text

        with client.stream("GET", "/api/edgellm/statistics/stream?interval_s=0.5") as stream:
            for event in events(stream.iter_lines()):
                (model,) = event["models"]
                assert model["status"]["state"] == "ready"
                assert len(event["device"]["cores_percent"]) in (0, len_cores())
                if model["counters"]["requests"] > before["requests"]:
                    break
        assert counters(client)["generated_tokens"] >= before["generated_tokens"] + 1


def counters(client: httpx.Client) -> dict[str, int]:
    client.post("/api/edgellm/load", json={"model": "tiny-llm"}).raise_for_status()
    found: dict[str, int] = client.get("/api/edgellm/statistics").json()["models"][0]["counters"]
    return found


def len_cores() -> int:
    import psutil

    return int(psutil.cpu_count())


def test_an_interval_that_is_none_is_an_error(server: RunningServer) -> None:
    with server.client() as client:
        for text in ("0", "nan", "soon", "-1"):
            answer = client.get("/api/edgellm/statistics/stream", params={"interval_s": text})
            assert answer.status_code == 400
            assert "interval_s" in answer.json()["error"]["message"]


def test_the_log_can_be_read_and_followed(server: RunningServer) -> None:
    with server.client() as client, server.client() as other:
        client.post("/api/edgellm/load", json={"model": "tiny-llm"}).raise_for_status()
        client.post("/api/edgellm/stop", json={"model": "tiny-llm"}).raise_for_status()
        lines = client.get("/api/edgellm/log").json()["lines"]
        assert any("loaded in" in line["message"] for line in lines)
        numbers = [line["number"] for line in lines]
        assert numbers == sorted(numbers)
        (newest,) = client.get("/api/edgellm/log?lines=1").json()["lines"]
        assert newest["number"] > numbers[-1]  # that they were read is in the log too
        with client.stream("GET", "/api/edgellm/log/stream?lines=1") as stream:
            found = events(stream.iter_lines())
            last = next(found)
            assert last["number"] >= numbers[-1]
            other.post("/api/edgellm/load", json={"model": "tiny-llm"}).raise_for_status()
            assert next(line for line in found if "loaded in" in line["message"])["number"] > last["number"]


def test_a_server_ends_while_somebody_watches(packed_home: Any, tmp_path: Any) -> None:
    with running_server(packed_home, tmp_path / "log") as server, server.client() as client:
        for path in ("statistics/stream", "log/stream", "jobs/stream"):
            stream = client.stream("GET", f"/api/edgellm/{path}?lines=1000")
            stream.__enter__()  # still open when the server is told to stop, and it stops
