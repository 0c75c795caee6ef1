"""What operators see: the access log, /metrics, and a server that is full."""

from __future__ import annotations

import json
from pathlib import Path

from served_app import connected

from server_process import RunningServer, running_server

CHAT = "/v1/chat/completions"
SECRET = "the word is xylophone"


def _lines(log: Path) -> list[dict[str, object]]:
    found = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line.get("logger") == "edgellm.access" and line["path"] == CHAT]


def test_the_log_tells_what_a_request_cost_and_not_what_was_said(packed_home: Path, tmp_path: Path) -> None:
    body = {"model": "tiny-llm", "messages": [{"role": "user", "content": SECRET}], "max_tokens": 5, "no_such_key": 1}
    with running_server(packed_home, tmp_path / "log", "--log-format", "json") as server, server.client() as client:
        answer = client.post(CHAT, json=body, headers={"x-request-id": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        other = client.post(CHAT, json=body, headers={"x-request-id": 'evil" id'})
        assert other.headers["x-request-id"].startswith("req-")
    first, second = _lines(server.log)
    assert (first["id"], second["id"]) == ("mine-1", other.headers["x-request-id"])
    assert first["status"] == 200
    assert first["caller"] == "local"
    assert first["generated_tokens"] == answer.json()["usage"]["completion_tokens"]
    assert first["prompt_tokens"] == answer.json()["usage"]["prompt_tokens"]
    assert 0 < float(str(first["first_token_s"])) <= float(str(first["duration_s"]))
    text = server.log.read_text()
    assert "xylophone" not in text
    assert text.count("ignored what it does not know: 'no_such_key'") == 1


def test_content_is_logged_where_that_was_asked_for(packed_home: Path, tmp_path: Path) -> None:
    arguments = ("--log-format", "json", "--log-content")
    with running_server(packed_home, tmp_path / "log", *arguments) as server, server.client() as client:
        body = {"model": "tiny-llm", "messages": [{"role": "user", "content": SECRET}], "max_tokens": 5}
        answer = client.post(CHAT, json=body).json()
    (line,) = _lines(server.log)
    assert SECRET in str(line["prompt"])
    assert line["answer"] == answer["choices"][0]["message"]["content"]


def test_metrics_count_what_was_answered(packed_home: Path, tmp_path: Path) -> None:
    with running_server(packed_home, tmp_path / "log") as server, server.client() as client:
        body = {"model": "tiny-llm", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 6}
        usages = [client.post(CHAT, json=body).json()["usage"] for _ in range(2)]
        client.get("/no/such/path")
        answer = client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        model = client.get("/v1/models").json()["data"][0]["id"]
    found = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    assert found[f'edgellm_requests_total{{route="{CHAT}",method="POST",status="200"}}'] == 2
    assert found['edgellm_requests_total{route="other",method="other",status="404"}'] == 1
    label = next(name for name in found if name.startswith("edgellm_generated_tokens_total"))
    assert model in label
    labels = label[label.index("{") :]
    assert found[label] == sum(usage["completion_tokens"] for usage in usages)
    assert found[f"edgellm_prompt_tokens_total{labels}"] == sum(usage["prompt_tokens"] for usage in usages)
    assert found[f"edgellm_cached_prompt_tokens_total{labels}"] > 0
    assert found[f"edgellm_time_to_first_token_seconds_count{labels}"] == 2
    assert 1 <= found[f"edgellm_token_gap_seconds_count{labels}"] <= 10  # tokens that come together have one
    assert found[f"edgellm_scheduler_running{labels}"] == 0
    assert found[f"edgellm_model_silent_seconds{labels}"] == 0
    assert found[f"edgellm_model_starts_total{labels}"] == 1
    assert found["edgellm_throttled"] in (0, 1)
    assert found["process_resident_memory_bytes"] > 1e6
    assert found["edgellm_memory_available_bytes"] > 1e6


def test_a_full_server_says_at_once_when_to_come_again(packed_home: Path, tmp_path: Path) -> None:
    with running_server(packed_home, tmp_path / "log", "--max-requests", "1") as server, server.client() as client:
        with connected(server.port) as busy:
            busy.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n".encode())
            while "edgellm_requests_in_work 1" not in client.get("/metrics").text:
                pass
            refused = client.post(CHAT, json={"model": "tiny-llm", "messages": []})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert "error" in refused.json()
            assert client.get("/health").status_code == 200  # it is seen to live
        while "edgellm_requests_in_work 0" not in client.get("/metrics").text:
            pass
        body = {"model": "tiny-llm", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        assert client.post(CHAT, json=body).status_code == 200


def test_keys_are_scopes_of_what_is_cached(packed_home: Path, tmp_path: Path) -> None:
    from cli_process import Cli

    environment = {"EDGELLM_STORE": str(packed_home / "store")}
    cli = Cli(tmp_path)
    keys = [cli.run("key", "add", name).stdout.strip() for name in ("one", "two")]
    body = {"model": "tiny-llm", "messages": [{"role": "user", "content": SECRET * 3}], "max_tokens": 1}

    def cached(server: RunningServer, key: str) -> int:
        with server.client() as client:
            usage = client.post(CHAT, json=body, headers={"x-api-key": key}).json()["usage"]
        return int(usage["prompt_tokens_details"]["cached_tokens"])

    with running_server(tmp_path, tmp_path / "log", environment=environment) as server:
        first, again, other = cached(server, keys[0]), cached(server, keys[0]), cached(server, keys[1])
    assert again > first
    assert other == first
