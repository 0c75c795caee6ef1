"""llama-server's routes beside /completion."""

from __future__ import annotations

import math
from typing import Any

import pytest

from server_process import RunningServer


def post(server: RunningServer, path: str, body: Any) -> Any:
    with server.client() as client:
        return client.post(path, json=body).raise_for_status().json()


def get(server: RunningServer, path: str) -> Any:
    with server.client() as client:
        return client.get(path).raise_for_status().json()


def test_tokens_become_the_text_again(server: RunningServer) -> None:
    tokens = post(server, "/tokenize", {"content": "Hello wörld"})["tokens"]
    assert post(server, "/detokenize", {"tokens": tokens}) == {"content": "Hello wörld"}


def test_pieces_are_text_or_bytes(server: RunningServer) -> None:
    named = post(server, "/tokenize", {"content": "Hello 🦀", "with_pieces": True})["tokens"]
    pieces = [piece.encode() if isinstance(piece := each["piece"], str) else bytes(piece) for each in named]
    assert b"".join(pieces).decode() == "Hello 🦀"
    assert any(isinstance(each["piece"], list) for each in named)


def test_text_and_tokens_may_be_mixed(server: RunningServer) -> None:
    hello = post(server, "/tokenize", {"content": "Hello"})["tokens"]
    assert post(server, "/tokenize", {"content": ["Hello", 5]})["tokens"] == [*hello, 5]


def test_control_tokens_are_read_as_such_unless_told_otherwise(server: RunningServer) -> None:
    (token,) = post(server, "/tokenize", {"content": "<|im_end|>"})["tokens"]
    assert post(server, "/detokenize", {"tokens": [token]})["content"] == "<|im_end|>"
    assert len(post(server, "/tokenize", {"content": "<|im_end|>", "parse_special": False})["tokens"]) > 1


def test_a_template_makes_a_prompt(server: RunningServer) -> None:
    answer = post(server, "/apply-template", {"messages": [{"role": "user", "content": "Hi"}]})
    assert answer == {"prompt": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"}


def test_an_embedding_is_one_row_and_has_a_length_of_one_unless_told_otherwise(server: RunningServer) -> None:
    (first, second) = post(server, "/embedding", {"content": ["Hello", [5, 6]]})
    assert (first["index"], second["index"]) == (0, 1)
    ((*vector,),) = first["embedding"]
    assert math.isclose(math.hypot(*vector), 1, rel_tol=1e-4)
    (raw,) = post(server, "/embeddings", {"input": "Hello", "embd_normalize": -1})
    assert not math.isclose(math.hypot(*raw["embedding"][0]), 1, rel_tol=1e-2)


def test_properties_tell_of_the_model_but_not_where_its_file_lies(server: RunningServer) -> None:
    props = get(server, "/props")
    assert props["model_path"] == props["model_alias"]
    assert props["model_path"].startswith("tiny-llm:raspberrypi5-")
    assert props["default_generation_settings"]["n_ctx"] == 512
    assert "<|im_start|>" in props["chat_template"]
    assert props["total_slots"] == len(get(server, "/slots"))


def test_a_slot_shows_the_callers_request_without_its_text(server: RunningServer) -> None:
    answer = post(server, "/completion", {"prompt": "A secret word", "n_predict": 5, "temperature": 0.25})
    slot = get(server, "/slots")[answer["id_slot"]]
    assert (slot["is_processing"], slot["next_token"][0]["n_decoded"]) == (False, 5)
    assert slot["params"]["temperature"] == 0.25
    assert "secret" not in str(slot)


def test_a_model_without_adapters_has_none_to_list(server: RunningServer) -> None:
    assert get(server, "/lora-adapters") == []
    assert post(server, "/lora-adapters", []) == {"success": True}


def test_health_is_ok(server: RunningServer) -> None:
    assert get(server, "/health")["status"] == "ok"


@pytest.mark.parametrize(
    "path", ["/infill", "/props", "/slots/0?action=save", "/rerank", "/v1/rerank", "/v1/reranking"]
)
def test_routes_that_are_not_here_say_so(server: RunningServer, path: str) -> None:
    with server.client() as client:
        response = client.post(path, json={})
    assert response.status_code == 501
    assert response.json()["error"]["type"] == "not_supported_error"
