"""Forced calls in the forms of other families, from a bundle with their kind of template to OpenAI's answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server_process import RunningServer

HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}<|channel|>final<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    "{# <|channel|>analysis<|message|> #}"
)
GLM = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if tools %}{{ tools | tojson }}\n"
    "<tool_call>name\n<arg_key>key</arg_key>\n<arg_value>value</arg_value>\n</tool_call>{% endif %}<|assistant|>"
)
DEEPSEEK = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}<｜tool▁calls▁begin｜>"
    "<｜tool▁call▁begin｜>{{ c.function.name }}<｜tool▁sep｜>{{ c.function.arguments | tojson }}<｜tool▁call▁end｜>"
    "<｜tool▁calls▁end｜>{% endfor %}{% endfor %}"
)
PROPERTIES = {"city": {"enum": ["Oslo", "Rome"]}, "days": {"enum": [1, 2]}}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": ["city", "days"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}


@pytest.mark.parametrize("template", [HARMONY, GLM, DEEPSEEK], ids=["harmony", "glm", "deepseek"])
def test_a_forced_call_is_a_call_and_a_schema_is_kept(own_server: RunningServer, template: str) -> None:
    pytest.importorskip("llguidance")
    body: dict[str, Any] = {
        "model": "other",
        "messages": [{"role": "user", "content": "Weather?"}],
        "reasoning_effort": "none",
        "temperature": 0,
    }
    tools = {"tools": [TOOL], "parallel_tool_calls": False}
    named = {"type": "function", "function": {"name": "get_weather"}}
    with own_server.client() as client:
        made = client.post("/api/create", json={"model": "other", "from": "tiny-llm", "template": template})
        assert '"success"' in made.text, made.text
        answer = client.post("/v1/chat/completions", json={**body, **tools, "tool_choice": named})
        assert answer.status_code == 200, answer.text
        choice = answer.json()["choices"][0]
        assert choice["finish_reason"] == "tool_calls", choice
        (call,) = choice["message"]["tool_calls"]
        assert call["function"]["name"] == "get_weather"
        assert json.loads(call["function"]["arguments"]).keys() == {"city", "days"}
        schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        answer = client.post("/v1/chat/completions", json={**body, "response_format": form})
        assert json.loads(answer.json()["choices"][0]["message"]["content"])["n"] in (1, 2)
        regex = {**body, "max_tokens": 20, "regex": "[a-c]{3}"}
        answer = client.post("/v1/chat/completions", json=regex)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()["choices"][0]["message"]["content"]) <= set("abc")
