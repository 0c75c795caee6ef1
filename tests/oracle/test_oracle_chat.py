"""Prompts equal those of transformers' apply_chat_template, on the templates of real models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oracle_tools import llama_source

from edgellm.errors import EdgeLLMError
from edgellm_runtimes.chat import render_chat
from edgellm_runtimes.template_process import shared_process

pytestmark = pytest.mark.oracle

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather <today> & tomorrow, 'quoted'",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city's name"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "abcdefghi",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2}},
        }
    ],
}
CONVERSATIONS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]] | None]] = {
    "one question": ([{"role": "user", "content": 'Hi "you" <b> é 🎉'}], None),
    "system and turns": (
        [
            {"role": "system", "content": "  Be brief.\n"},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello\n"},
            {"role": "user", "content": "Bye"},
        ],
        None,
    ),
    "tools": ([{"role": "user", "content": "Weather?"}], [TOOL]),
    "tool call and result": (
        [
            {"role": "user", "content": "Weather?"},
            CALL,
            {"role": "tool", "tool_call_id": "abcdefghi", "name": "get_weather", "content": '{"t": 3}'},
        ],
        [TOOL],
    ),
    "parts": ([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], None),
    "thinking": (
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "<think>hm</think>Yes"},
            {"role": "user", "content": "so"},
        ],
        None,
    ),
    "wrong order": ([{"role": "assistant", "content": "Hi"}, {"role": "assistant", "content": "Hi"}], None),
}


@pytest.fixture(autouse=True, scope="module")
def _close_the_child() -> Iterator[None]:
    yield
    shared_process().close()


def templates() -> list[Path]:
    """The collection of real chat templates in llama.cpp's source."""
    found = sorted((llama_source() / "models" / "templates").glob("*.jinja"))
    assert len(found) > 30, "build the oracle tools again: their cache is from before the templates were kept"
    return found


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_prompts_equal_those_of_transformers(conversation: str, add_generation_prompt: bool) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    messages, tools = CONVERSATIONS[conversation]
    equal = 0
    for path in templates():
        template = path.read_text(encoding="utf-8")
        options: dict[str, Any] = {
            "tools": tools,
            "add_generation_prompt": add_generation_prompt,
            "bos_token": "<s>",
            "eos_token": "</s>",
        }
        try:
            expected = render_jinja_template([messages], chat_template=template, **options)[0][0]
        except Exception:  # noqa: BLE001  whatever transformers raises for a template, ours must refuse it too
            with pytest.raises(EdgeLLMError):
                render_chat(template, messages, **options)
            continue
        assert render_chat(template, messages, **options) == expected, path.name
        equal += 1
    assert equal > 30 or conversation == "wrong order"


@pytest.mark.parametrize(
    "variables",
    [
        {"documents": [{"doc_id": 1, "title": "Weather", "text": "3 degrees", "contents": "3 degrees"}]},
        {"enable_thinking": True},
        {"enable_thinking": False},
    ],
    ids=str,
)
def test_variables_reach_the_template_as_with_transformers(variables: dict[str, Any]) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    messages, changed = [{"role": "user", "content": "Hi"}], 0
    for path in templates():
        template = path.read_text(encoding="utf-8")
        options: dict[str, Any] = {"add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
        try:
            plain, expected = (
                render_jinja_template([messages], chat_template=template, **options, **given)[0][0]
                for given in ({}, variables)
            )
        except Exception:  # noqa: BLE001  a template that cannot do this is none of this test's
            continue
        assert render_chat(template, messages, variables=variables, **options) == expected, path.name
        changed += plain != expected
    assert changed > 0
