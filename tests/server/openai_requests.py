"""Requests in OpenAI's form, and streams as their clients read them."""

from __future__ import annotations

import json
from typing import Any

from server_process import RunningServer

__all__ = ["MODEL", "TOOLS", "ask", "chat", "stream"]

MODEL = "tiny-llm"
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"enum": [1, 2, 3]}},
                "required": ["city", "days"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "description": "The time"}},
]


def ask(server: RunningServer, path: str, status: int = 200, **body: Any) -> Any:
    """The JSON of the answer to ``body``."""
    with server.client() as client:
        answer = client.post(path, json={"model": MODEL, **body})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def chat(server: RunningServer, text: str = "Hello", **body: Any) -> Any:
    """The whole answer to one message."""
    return ask(server, "/v1/chat/completions", messages=[{"role": "user", "content": text}], **body)


def stream(server: RunningServer, path: str, **body: Any) -> list[Any]:
    """The data of all events, without the last one, which says that it is the last."""
    with server.client() as client:
        answer = client.post(path, json={"model": MODEL, "stream": True, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    if not path.endswith("/responses"):
        assert data.pop() == "[DONE]"
    return [json.loads(each) for each in data]
