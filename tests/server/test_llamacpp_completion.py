"""POST /completion, as llama-server answers it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from server_process import RunningServer

PROMPT = "The capital of France is"


def ask(server: RunningServer, **body: Any) -> httpx.Response:
    with server.client() as client:
        return client.post("/completion", json={"prompt": PROMPT, "n_predict": 6, "temperature": 0, **body})


def parts_of(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    return [json.loads(part.removeprefix("data: ")) for part in response.text.split("\n\n") if part]


def test_a_stream_says_the_same_as_the_whole_answer(server: RunningServer) -> None:
    whole = ask(server, return_tokens=True).json()
    *parts, end = parts_of(ask(server, stream=True))
    assert "".join(part["content"] for part in parts) == whole["content"]
    assert [token for part in parts for token in part["tokens"]] == whole["tokens"]
    assert [part["stop"] for part in parts] == [False] * len(parts)
    assert (end["stop"], end["content"], end["tokens"]) == (True, "", [])
    assert end.keys() == whole.keys()
    assert parts[-1]["tokens_predicted"] == whole["tokens_predicted"] == 6
    assert (whole["stop_type"], whole["prompt"]) == ("limit", PROMPT)


def test_tokens_are_given_only_where_they_are_asked_for(server: RunningServer) -> None:
    assert ask(server).json()["tokens"] == []


@pytest.mark.parametrize("after", [False, True])
def test_probabilities_come_with_every_token(server: RunningServer, after: bool) -> None:
    answer = ask(server, n_probs=3, post_sampling_probs=after, temperature=0.7).json()
    entries = answer["completion_probabilities"]
    value, top = ("prob", "top_probs") if after else ("logprob", "top_logprobs")
    assert len(entries) == answer["tokens_predicted"]
    assert "".join(entry["token"] for entry in entries) == answer["content"]
    for entry in entries:
        assert entry.keys() == {"id", "token", "bytes", value, top}
        assert len(entry[top]) <= 3
        assert bytes(entry["bytes"]).decode() == entry["token"]
        assert (0 <= entry[value] <= 1) if after else (entry[value] <= 0)


def test_a_stop_string_ends_the_answer_and_is_named(server: RunningServer) -> None:
    word = ask(server).json()["content"].split()[2]
    answer = ask(server, stop=[word, ""]).json()
    assert (answer["stop_type"], answer["stopping_word"]) == ("word", word)
    assert word not in answer["content"]


def test_a_grammar_and_a_schema_are_followed(server: RunningServer) -> None:
    assert ask(server, grammar='root ::= "yes" | "no"').json()["content"] in ("yes", "no")
    schema = {"enum": ["red", "green"]}
    assert json.loads(ask(server, n_predict=20, json_schema=schema).json()["content"]) in ("red", "green")


@pytest.mark.parametrize("form", ["pairs", "object", "text"])
def test_a_forbidden_token_is_not_chosen(server: RunningServer, form: str) -> None:
    first = ask(server, n_predict=1, n_probs=1).json()["completion_probabilities"][0]
    bias: dict[str, Any] = {
        "pairs": [[first["id"], False]],
        "object": {str(first["id"]): -100000},
        "text": [[first["token"], False]],
    }
    second = ask(server, n_predict=1, n_probs=1, logit_bias=bias[form]).json()["completion_probabilities"][0]
    assert second["id"] != first["id"]


def test_several_prompts_and_choices_are_answered_in_their_order(server: RunningServer) -> None:
    answers = ask(server, prompt=["One two", [5, 6, 7], ["One", 8]], n_cmpl=2, temperature=1).json()
    assert [answer["index"] for answer in answers] == [0, 1, 2, 3, 4, 5]
    assert answers[2]["tokens_evaluated"] == 3
    parts = parts_of(ask(server, prompt=["One two", [5, 6, 7]], stream=True))
    assert {part["index"] for part in parts if part["stop"]} == {0, 1}


def test_a_prompt_is_not_reused_where_that_is_not_wanted(server: RunningServer) -> None:
    long = "It was a dark and stormy night, and the rain fell in torrents. " * 3
    assert ask(server, prompt=long).json()["timings"]["cache_n"] == 0
    assert ask(server, prompt=long).json()["timings"]["cache_n"] > 0
    assert ask(server, prompt=long, cache_prompt=False).json()["timings"]["cache_n"] == 0


def test_no_tokens_are_said_where_none_are_wanted(server: RunningServer) -> None:
    answer = ask(server, n_predict=0).json()
    assert (answer["content"], answer["tokens_predicted"]) == ("", 0)


def test_chosen_fields_are_all_that_is_answered(server: RunningServer) -> None:
    answer = ask(server, response_fields=["content", "generation_settings/n_predict", "nobody"]).json()
    assert answer.keys() == {"content", "generation_settings/n_predict"}
    assert answer["generation_settings/n_predict"] == 6


def test_settings_that_are_out_of_range_are_moved_into_it_as_llama_server_does(server: RunningServer) -> None:
    settings = ask(server, temperature=-1, top_k=-5, top_p=7).json()["generation_settings"]
    assert (settings["temperature"], settings["top_k"], settings["top_p"]) == (0, 0, 1)


def test_samplers_that_are_left_out_are_off(server: RunningServer) -> None:
    settings = ask(server, samplers=["top_k", "temperature"], top_k=5, top_p=0.3).json()["generation_settings"]
    assert (settings["top_k"], settings["top_p"], settings["min_p"]) == (5, 1, 0)


def test_timings_come_with_each_piece_where_they_are_wanted(server: RunningServer) -> None:
    parts = parts_of(ask(server, stream=True, timings_per_token=True))
    assert all(part["timings"]["predicted_n"] == part["tokens_predicted"] for part in parts)


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"prompt": []}, 400, "invalid_request_error"),
        ({"prompt": [1.5]}, 400, "invalid_request_error"),
        ({"prompt": [10**9]}, 400, "invalid_request_error"),
        ({"prompt": "word " * 2000}, 400, "exceed_context_size_error"),
        ({"n_predict": -2}, 400, "invalid_request_error"),
        ({"grammar": "root ::= ("}, 400, "invalid_request_error"),
        ({"logit_bias": [[1, "x"]]}, 400, "invalid_request_error"),
        ({"model": "nobody"}, 404, "not_found_error"),
        ({"lora": [{"id": 3, "scale": 1}]}, 404, "not_found_error"),
        ({"samplers": ["temperature", "top_k"]}, 501, "not_supported_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_done_has_llama_servers_form(
    server: RunningServer, change: dict[str, Any], status: int, kind: str, stream: bool
) -> None:
    response = ask(server, stream=stream, **change)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["type"]) == (status, kind)
    assert error["message"]
