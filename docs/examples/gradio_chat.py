"""A chat page with Gradio: `pip install gradio openai`, `edgellm serve`, `python gradio_chat.py`."""

import os
from collections.abc import Iterator
from typing import Any

import gradio
from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
)
model = os.environ.get("MODEL") or next(iter(client.models.list())).id


def answer(message: str, history: list[dict[str, Any]]) -> Iterator[str]:
    turns: Any = [{"role": turn["role"], "content": turn["content"]} for turn in history]
    turns.append({"role": "user", "content": message})
    text = ""
    longer: Any = {"overflow": "truncate"}  # a conversation beyond the context goes on without its oldest words
    for chunk in client.chat.completions.create(model=model, messages=turns, stream=True, extra_body=longer):
        text += chunk.choices[0].delta.content or ""
        yield text


gradio.ChatInterface(answer, title=model).launch()
