"""Requests that are too large, too deep, too slow or broken off: refused in a moment, and nothing stays behind."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import httpx
import pytest
from served_app import connected

from server_process import RunningServer

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]
SOON_S = 20.0


def _wait(condition: Any) -> None:
    until = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < until, "it did not come"


def _metrics(client: httpx.Client) -> dict[str, float]:
    text = client.get("/metrics").text
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def _model(client: httpx.Client, name: str) -> float:
    """A number of tiny-llm's scheduler."""
    return sum(value for key, value in _metrics(client).items() if key.startswith(f'{name}{{model="tiny-llm'))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[" * 100_000, "`array`"),
        ('{"model":"tiny-llm","messages":' + "[" * 100_000 + "]" * 100_000 + "}", "`array`"),
        ('{"model":"tiny-llm","messages":[],"unknown":' + '{"a":' * 100_000 + "1" + "}" * 100_001, "nested too deeply"),
        ("\x00" * 10_000_000, "not JSON"),
        ("{" + '"a":1,' * 1_500_000, "not JSON"),
        ("", "not JSON"),
        ('"' + "\\ud800" * 10 + '"', ""),
    ],
    ids=["open", "nested", "unknown", "zeros", "long", "empty", "surrogates"],
)
def test_bodies_that_are_none_are_refused(server: RunningServer, body: str, said: str) -> None:
    with server.client() as client:
        answer = client.post(CHAT, content=body)
        assert answer.status_code == 400
        assert said in answer.json()["error"]["message"]
        assert client.get("/health").status_code == 200


def test_ten_megabytes_of_garbage_in_a_json_string_change_nothing(server: RunningServer) -> None:
    with server.client() as client:
        text = "�x" * 2_500_000
        answer = client.post(CHAT, json={"model": "tiny-llm", "messages": [{"role": "user", "content": text}]})
    assert answer.status_code == 400
    assert "context" in answer.json()["error"]["message"]


def test_a_body_beyond_the_limit_is_refused_before_it_comes(server: RunningServer) -> None:
    with connected(server.port) as client:
        client.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n".encode())
        answer = b""
        while b"--max-body" not in answer:
            answer += client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_without_a_length_ends_at_the_limit(server: RunningServer) -> None:
    def endless() -> Any:
        for _ in range(40):
            yield b" " * (1 << 20)

    with server.client() as client:
        answer = client.post(CHAT, content=endless())
    assert answer.status_code == 413


@pytest.mark.parametrize("sent", [b"", b'{"model":"tiny-llm","messages":[{"role":'])
def test_a_body_that_is_broken_off_leaves_nothing(server: RunningServer, sent: bytes) -> None:
    with server.client() as client:
        before = _metrics(client)["edgellm_requests_in_work"]
        with connected(server.port) as half:
            half.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n".encode() + sent)
            _wait(lambda: _metrics(client)["edgellm_requests_in_work"] == before + 1)
        _wait(lambda: _metrics(client)["edgellm_requests_in_work"] == before)


def test_headers_beyond_the_limit_are_refused(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.get("/health", headers={"x-large": "a" * 40_000})
    assert answer.status_code == 431


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": HELLO * 5000}, "5000 messages"),
        (
            {"messages": HELLO, "tools": [{"type": "function", "function": {"name": f"f{i}"}} for i in range(600)]},
            "600 tools",
        ),
        (
            {
                "messages": HELLO,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"enum": ["y" * 300_000]}},
                },
            },
            "json_schema has",
        ),
    ],
    ids=["messages", "tools", "schema"],
)
def test_more_than_a_request_may_have_is_refused(server: RunningServer, body: dict[str, Any], said: str) -> None:
    with server.client() as client:
        answer = client.post(CHAT, json={"model": "tiny-llm", **body})
    assert answer.status_code == 413
    assert said in answer.json()["error"]["message"]


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


BOMBS: dict[str, dict[str, Any]] = {
    "deep": _nested(400),
    "regex": {"type": "string", "pattern": "^(a{0,1000}){0,1000}b{0,1000}(c{0,1000}){0,1000}$"},
    "regex of alternatives": {
        "type": "string",
        "pattern": "^(" + "|".join(f"(a|b){{{i}}}c{{{i}}}" for i in range(1, 900)) + ")$",
    },
    "mutual references": {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{(i + k) % 1000}"} for k in (1, 2, 3)]} for i in range(1000)},
    },
    "repetitions": {
        "type": "array",
        "minItems": 100_000,
        "maxItems": 1_000_000,
        "items": {"type": "array", "minItems": 10_000},
    },
    "optional properties": {"type": "object", "properties": {f"property_{i}": {"type": "string"} for i in range(3000)}},
    "enumeration": {"enum": [f"{i:06d}" * 2 for i in range(15_000)]},
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_schema_that_takes_all_time_or_memory_ends_its_own_request_alone(server: RunningServer, name: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "bomb", "schema": BOMBS[name]}}
    with server.client() as client:
        answer = client.post(
            CHAT, json={"model": "tiny-llm", "messages": HELLO, "max_tokens": 2, "response_format": form}
        )
        assert answer.status_code in (200, 400, 413), answer.text  # what compiles in time is no bomb
        after = client.post(CHAT, json={"model": "tiny-llm", "messages": HELLO, "max_tokens": 2})
        assert after.status_code == 200, after.text


def _open_stream(server: RunningServer, **body: Any) -> Any:
    content = json.dumps({"model": "tiny-llm", "stream": True, **body}).encode()
    client = connected(server.port)
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}\r\n\r\n"
    return client, head.encode() + content


def test_who_leaves_while_tokens_come_is_not_generated_for_any_more(server: RunningServer) -> None:
    with server.client() as client:
        client.post(CHAT, json={"model": "tiny-llm", "messages": HELLO, "max_tokens": 1})
        cancelled, steps = (_model(client, f"edgellm_scheduler_{name}_total") for name in ("cancelled", "steps"))
        stream, request = _open_stream(server, prompt="Once", max_tokens=400, ignore_eos=True)
        with stream as reader:
            reader.sendall(request)
            while b"data: " not in reader.recv(65536):
                pass
        _wait(lambda: _model(client, "edgellm_scheduler_cancelled_total") == cancelled + 1)
        assert _model(client, "edgellm_scheduler_running") == 0
        assert _model(client, "edgellm_scheduler_steps_total") - steps < 400  # it was not computed to its end


def test_who_leaves_during_its_prompt_frees_the_sequence(server: RunningServer) -> None:
    with server.client() as client:
        client.post(CHAT, json={"model": "tiny-llm", "messages": HELLO, "max_tokens": 1})
        cancelled = _model(client, "edgellm_scheduler_cancelled_total")
        before = _model(client, "edgellm_scheduler_generated_tokens_total")
        asked = 0
        while _model(client, "edgellm_scheduler_cancelled_total") == cancelled:
            with contextlib.ExitStack() as leaving:  # several: one is computed before anybody has looked
                for _ in range(6):
                    reader, request = _open_stream(server, prompt=f"{asked} " + "word " * 300, max_tokens=1)
                    leaving.enter_context(reader).sendall(request)
                    asked += 1
                _wait(
                    lambda: (
                        _model(client, "edgellm_scheduler_running") or _metrics(client)["edgellm_requests_in_work"] == 0
                    )
                )
            assert asked < 600
        _wait(lambda: _model(client, "edgellm_scheduler_running") == 0)
        assert _model(client, "edgellm_scheduler_generated_tokens_total") - before < asked + 1


def test_a_whole_answer_that_nobody_waits_for_is_stopped(server: RunningServer) -> None:
    with server.client() as client:
        client.post(CHAT, json={"model": "tiny-llm", "messages": HELLO, "max_tokens": 1})
        cancelled = _model(client, "edgellm_scheduler_cancelled_total")
        stream, request = _open_stream(server, prompt="Once", max_tokens=400, ignore_eos=True)
        with stream as reader:
            reader.sendall(request.replace(b'"stream": true', b'"n": 4        '))
            _wait(lambda: _model(client, "edgellm_scheduler_running") > 0)
        _wait(lambda: _model(client, "edgellm_scheduler_cancelled_total") > cancelled)
