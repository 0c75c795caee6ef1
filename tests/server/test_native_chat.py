"""POST /api/edgellm/chat"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_rig import wait_until

from cli_process import Cli
from server_process import RunningServer, running_server

THINKER = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n"
    "{% if enable_thinking is defined and not enable_thinking %}\n</think>\n\n{% endif %}{% endif %}"
)
CHAT = "/api/edgellm/chat"
HELLO: dict[str, Any] = {
    "model": "tiny-llm",
    "messages": [{"role": "user", "content": "Hello"}],
    "sampling": {"max_tokens": 8, "seed": 1},
}


def chat(server: RunningServer, **changes: Any) -> list[dict[str, Any]]:
    with server.client() as client:
        response = client.post(CHAT, json=HELLO | changes)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def said(lines: list[dict[str, Any]], kind: str = "text") -> str:
    return "".join(line["text"] for line in lines if line["type"] == kind)


def test_an_answer_has_a_start_its_text_and_an_end(server: RunningServer) -> None:
    start, *pieces, end = chat(server)
    assert start["type"] == "start"
    assert start["name"].startswith("tiny-llm:")
    assert start["context"] == 512
    assert {piece["type"] for piece in pieces} == {"text"}
    assert end["type"] == "end"
    assert end["reason"] == "length"
    assert end["stats"]["generated_tokens"] == 8
    assert end["stats"]["prompt_tokens"] > 5


def test_it_is_the_answer_that_the_other_dialects_give(server: RunningServer) -> None:
    body = {**HELLO, "sampling": {"max_tokens": 8, "seed": 1, "top_k": 5}}
    with server.client() as client:
        other = client.post(
            "/v1/chat/completions",
            json={"model": "tiny-llm", "messages": HELLO["messages"], "max_tokens": 8, "seed": 1, "top_k": 5},
        ).json()
    assert said(chat(server, **body)) == other["choices"][0]["message"]["content"]


def test_an_answer_that_was_cut_off_goes_on(server: RunningServer) -> None:
    whole = said(chat(server, sampling={"max_tokens": 12, "temperature": 0}))
    first = said(chat(server, sampling={"max_tokens": 6, "temperature": 0}))
    messages = [*HELLO["messages"], {"role": "assistant", "content": first}]
    rest = said(chat(server, messages=messages, continue_last=True, sampling={"max_tokens": 6, "temperature": 0}))
    assert first + rest == whole


def test_a_schema_is_followed(server: RunningServer) -> None:
    pytest.importorskip("llguidance")
    schema = {"type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"], "additionalProperties": False}
    lines = chat(
        server, grammar={"kind": "json_schema", "text": json.dumps(schema)}, sampling={"max_tokens": 60, "seed": 1}
    )
    assert json.loads(said(lines))["x"] in (1, 2)


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"model": "nobody"}, 404, "NotFoundError"),
        ({"messages": []}, 400, "UsageError"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "UsageError"),
        ({"messages": [{"role": "user", "content": "word " * 2000}]}, 400, "PromptTooLongError"),
        ({"sampling": {"temperature": -1}}, 400, "UsageError"),
        ({"sampling": {"heat": 1}}, 400, "UsageError"),
    ],
)
def test_what_fails_before_the_first_word_has_a_status(
    server: RunningServer, changes: dict[str, Any], status: int, kind: str
) -> None:
    with server.client() as client:
        response = client.post(CHAT, json=HELLO | changes)
    assert (response.status_code, response.json()["error"]["kind"]) == (status, kind)


def test_who_goes_away_frees_the_sequence(server: RunningServer) -> None:
    endless = HELLO | {"sampling": {"ignore_eos": True}, "overflow": "shift"}
    with server.client() as client, client.stream("POST", CHAT, json=endless) as response:
        next(response.iter_raw())
    with server.client() as client:
        wait_until(
            lambda: all(model["requests"] == 0 for model in client.get("/api/edgellm/ps").json()), "a free sequence"
        )


@pytest.fixture(scope="module")
def thinker(packed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("thinker")
    home, template = folder / "home", folder / "template.jinja"
    shutil.copytree(packed_home / "store", home / "store")
    template.write_text(THINKER, encoding="utf-8")
    Cli(home).run("create", "thinker", "--from", "tiny-llm", "--template", template)
    with running_server(home, folder / "log") as running:
        yield running


def test_thoughts_are_apart_and_can_be_turned_off(thinker: RunningServer) -> None:
    lines = chat(thinker, model="thinker")
    assert said(lines, "thought")
    assert said(lines) == ""
    assert lines[-1]["thinking_tokens"] == 8
    lines = chat(thinker, model="thinker", thinking=False)
    assert said(lines, "thought") == ""
    assert said(lines)
