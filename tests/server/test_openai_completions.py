"""POST /v1/completions"""

from __future__ import annotations

from typing import Any

import pytest
from openai_requests import ask, stream

from server_process import RunningServer

PATH = "/v1/completions"


def test_a_completion(server: RunningServer) -> None:
    answer = ask(server, PATH, prompt="Once upon a time", seed=1)
    assert answer["object"] == "text_completion"
    assert answer["usage"]["completion_tokens"] == 16  # OpenAI's default
    (choice,) = answer["choices"]
    assert choice["text"]
    assert choice["finish_reason"] == "length"


def test_several_prompts_with_several_choices(server: RunningServer) -> None:
    options: dict[str, Any] = {"prompt": ["One", "Two", "Three"], "n": 2, "max_tokens": 5, "temperature": 0}
    answer = ask(server, PATH, **options)
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    assert answer["usage"]["completion_tokens"] == 30
    alone = ask(server, PATH, **{**options, "prompt": "Two"})
    assert [choice["text"] for choice in answer["choices"][2:4]] == [choice["text"] for choice in alone["choices"]]
    chunks = stream(server, PATH, **options, stream_options={"include_usage": True})
    texts = [""] * 6
    for chunk in chunks[:-1]:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == [choice["text"] for choice in answer["choices"]]
    assert chunks[-1]["usage"] == answer["usage"] | {
        "prompt_tokens_details": chunks[-1]["usage"]["prompt_tokens_details"]
    }


def test_token_ids_are_a_prompt(server: RunningServer) -> None:
    one = ask(server, PATH, prompt=[5, 6, 7], temperature=0, max_tokens=4)
    assert one["usage"]["prompt_tokens"] == 3
    two = ask(server, PATH, prompt=[[5, 6, 7], [8, 9]], temperature=0, max_tokens=4)
    assert two["choices"][0]["text"] == one["choices"][0]["text"]
    assert "is not a token id" in ask(server, PATH, 400, prompt=[10**6])["error"]["message"]


def test_echo(server: RunningServer) -> None:
    answer = ask(server, PATH, prompt="Once upon", echo=True, seed=1, max_tokens=3)
    assert answer["choices"][0]["text"].startswith("Once upon")
    chunks = stream(server, PATH, prompt="Once upon", echo=True, seed=1, max_tokens=3)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == answer["choices"][0]["text"]


def test_logprobs(server: RunningServer) -> None:
    (choice,) = ask(server, PATH, prompt="Once", logprobs=2, seed=1, max_tokens=4)["choices"]
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert [
        choice["text"][offset:][: len(token)]
        for offset, token in zip(logprobs["text_offset"], logprobs["tokens"], strict=True)
    ] == logprobs["tokens"]
    assert all(len(top) == 2 for top in logprobs["top_logprobs"])
    assert all(value <= 0 for value in logprobs["token_logprobs"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": "a", "suffix": "b"}, "suffix is not possible"),
        ({"prompt": "a", "best_of": 3}, "best_of is not possible"),
        ({"prompt": "a", "echo": True, "logprobs": 1}, "echo is not possible with logprobs"),
        ({"prompt": []}, "prompt is empty"),
        ({"prompt": ["a", 1]}, "or a list of either"),
        ({"prompt": ["a"] * 65}, "at most 64"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": ["a", ""]}, "the prompt is empty"),
    ],
)
def test_what_is_not_possible_is_refused(server: RunningServer, body: dict[str, Any], message: str) -> None:
    for streams in (False, True):
        assert message in ask(server, PATH, 400, stream=streams, **body)["error"]["message"]
