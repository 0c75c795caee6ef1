"""A model that thinks before it answers: tiny-llm behind a template that begins its thought."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_requests import ask, stream

from cli_process import Cli
from server_process import RunningServer, running_server

CHAT = "/v1/chat/completions"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n"
    "{% if enable_thinking is defined and not enable_thinking %}\n</think>\n\n{% endif %}{% endif %}"
)
HELLO: dict[str, Any] = {"model": "thinker", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 12}


@pytest.fixture(scope="module")
def thinker(packed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("thinker")
    home, template = folder / "home", folder / "template.jinja"
    shutil.copytree(packed_home / "store", home / "store")
    template.write_text(TEMPLATE, encoding="utf-8")
    Cli(home).run("create", "thinker", "--from", "tiny-llm", "--template", template)
    with running_server(home, folder / "log") as running:
        yield running


def test_thoughts_are_apart_from_the_answer(thinker: RunningServer) -> None:
    answer = ask(thinker, CHAT, **HELLO)
    (choice,) = answer["choices"]
    assert choice["message"]["reasoning_content"]
    assert choice["message"]["content"] == ""
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 12
    deltas = [chunk["choices"][0]["delta"] for chunk in stream(thinker, CHAT, **HELLO)]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas)
    assert not any(delta.get("content") for delta in deltas)


@pytest.mark.parametrize(
    "off",
    [{"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}],
    ids=["effort", "switch"],
)
def test_thinking_can_be_turned_off(thinker: RunningServer, off: dict[str, Any]) -> None:
    answer = ask(thinker, CHAT, **HELLO, **off)
    assert "reasoning_content" not in answer["choices"][0]["message"]
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_a_format_is_kept_after_the_thought(thinker: RunningServer) -> None:
    pytest.importorskip("llguidance")
    schema = {"type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    thought = ask(thinker, CHAT, **HELLO, response_format=wanted)["choices"][0]
    assert thought["message"]["reasoning_content"]
    body = {**HELLO, "max_tokens": 100, "reasoning_effort": "none"}
    (choice,) = ask(thinker, CHAT, **body, response_format=wanted)["choices"]
    assert choice["message"]["content"].replace(" ", "").replace("\n", "") in ('{"x":1}', '{"x":2}')
    assert ask(thinker, CHAT, **HELLO, regex="yes")["choices"][0]["message"]["content"] == "yes"  # no time for thoughts


def test_a_response_has_the_thought_as_an_item(thinker: RunningServer) -> None:
    body = {"model": "thinker", "input": "Hello", "max_output_tokens": 12}
    (item,) = ask(thinker, "/v1/responses", **body)["output"]
    assert item["type"] == "reasoning"
    assert item["content"][0]["text"]
    kinds = {event["type"] for event in stream(thinker, "/v1/responses", **body)}
    assert {"response.reasoning_text.delta", "response.reasoning_text.done"} <= kinds
