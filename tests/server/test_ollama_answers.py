"""Ollama's generate and chat."""

from __future__ import annotations

import json
import time
from typing import Any

import psutil
import pytest

from server_process import RunningServer

MODEL = "tiny-llm"
GREEDY = {"temperature": 0, "num_predict": 12}


def post(server: RunningServer, path: str, status: int = 200, **body: Any) -> Any:
    with server.client() as client:
        answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def lines(server: RunningServer, path: str, **body: Any) -> list[dict[str, Any]]:
    with server.client() as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def question(text: str = "Tell me about the sea.") -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_the_root_says_what_clients_look_for(server: RunningServer) -> None:
    with server.client() as client:
        assert client.get("/").text == "Ollama is running"
        assert client.head("/").status_code == 200
        assert client.head("/api/version").status_code == 200
        assert client.head("/api/tags").status_code == 200


def test_a_chat_is_streamed_in_pieces_that_make_up_the_whole(server: RunningServer) -> None:
    pieces = lines(server, "/api/chat", model=MODEL, messages=question(), options=GREEDY)
    whole = post(server, "/api/chat", model=MODEL, messages=question(), options=GREEDY, stream=False)
    assert "".join(piece["message"]["content"] for piece in pieces) == whole["message"]["content"] != ""
    assert all(piece["message"]["role"] == "assistant" and piece["model"] == MODEL for piece in pieces)
    assert [piece["done"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    for last in (pieces[-1], whole):
        assert last["done_reason"] == "length"
        assert last["eval_count"] == 12
        assert last["prompt_eval_count"] > 4
        assert last["total_duration"] >= last["prompt_eval_duration"] + last["eval_duration"] > 10_000
        assert last["load_duration"] >= 0
    assert "eval_count" not in pieces[0]


def test_generate_gives_a_context_that_goes_on(server: RunningServer) -> None:
    first = post(server, "/api/generate", model=MODEL, prompt="The sea", options=GREEDY, stream=False)
    second = post(
        server, "/api/generate", model=MODEL, prompt="And then?", context=first["context"], options=GREEDY, stream=False
    )
    assert second["context"][: len(first["context"])] == first["context"]
    assert second["prompt_eval_count"] > len(first["context"])
    assert len(second["context"]) == second["prompt_eval_count"] + second["eval_count"]


def test_generate_uses_the_template_unless_it_is_raw(server: RunningServer) -> None:
    plain = post(server, "/api/generate", model=MODEL, prompt="The sea", options=GREEDY, stream=False)
    chat = post(server, "/api/chat", model=MODEL, messages=question("The sea"), options=GREEDY, stream=False)
    raw = post(server, "/api/generate", model=MODEL, prompt="The sea", raw=True, options=GREEDY, stream=False)
    own = post(
        server,
        "/api/generate",
        model=MODEL,
        prompt="sea",
        template="The {{ prompt }}",
        options=GREEDY,
        stream=False,
    )
    assert plain["response"] == chat["message"]["content"]
    assert raw["prompt_eval_count"] < plain["prompt_eval_count"]
    assert "context" not in raw
    assert own["response"] == raw["response"] != plain["response"]


def test_a_system_prompt_is_part_of_the_prompt(server: RunningServer) -> None:
    asked = {"model": MODEL, "prompt": "Hello", "options": GREEDY, "stream": False}
    without = post(server, "/api/generate", **asked)
    with_system = post(server, "/api/generate", system="You are a pirate.", **asked)
    assert with_system["prompt_eval_count"] > without["prompt_eval_count"] + 4


def test_a_schema_is_kept_to(server: RunningServer) -> None:
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "age": {"type": "integer", "minimum": 1, "maximum": 99}},
        "required": ["mood", "age"],
        "additionalProperties": False,
    }
    options = {"num_predict": 100, "seed": 1}
    found = post(server, "/api/chat", model=MODEL, messages=question(), format=schema, options=options, stream=False)
    answer = json.loads(found["message"]["content"])
    assert set(answer) == {"mood", "age"}
    assert answer["mood"] in ("good", "bad")
    assert 1 <= answer["age"] <= 99


def test_options_reach_the_sampling(server: RunningServer) -> None:
    asked = {"model": MODEL, "prompt": "Once upon a time", "raw": True, "stream": False}
    whole = post(server, "/api/generate", options=GREEDY, **asked)["response"]
    stop = whole.split()[3]
    cut = post(server, "/api/generate", options={**GREEDY, "stop": [stop]}, **asked)
    assert cut["done_reason"] == "stop"
    assert cut["response"] == whole[: whole.index(stop)]
    seeded = [
        post(server, "/api/generate", options={"seed": seed, "num_predict": 12, "temperature": 2}, **asked)["response"]
        for seed in (7, 7, 8)
    ]
    assert seeded[0] == seeded[1] != seeded[2]


def test_logprobs_name_their_tokens(server: RunningServer) -> None:
    found = post(
        server,
        "/api/generate",
        model=MODEL,
        prompt="Once upon a time",
        raw=True,
        logprobs=True,
        top_logprobs=3,
        options=GREEDY,
        stream=False,
    )
    assert "".join(entry["token"] for entry in found["logprobs"]) == found["response"]
    for entry in found["logprobs"]:
        assert len(entry["top_logprobs"]) == 3
        assert entry["top_logprobs"][0]["token"] == entry["token"]  # greedy
        assert entry["top_logprobs"][0]["logprob"] == pytest.approx(entry["logprob"], abs=1e-4)
        assert bytes(entry["bytes"]).decode() == entry["token"]


def test_the_oldest_messages_are_left_out_of_what_does_not_fit(server: RunningServer) -> None:
    story = [
        {"role": role, "content": f"Part {number} of a story about a ship and its crew."}
        for number in range(60)
        for role in ("user", "assistant")
    ]
    asked = {"model": MODEL, "messages": [*story, *question()], "options": GREEDY, "stream": False}
    found = post(server, "/api/chat", **asked)
    assert 300 < found["prompt_eval_count"] < 512
    refused = post(server, "/api/chat", status=400, truncate=False, **asked)
    assert "512" in refused["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/chat", {"model": "nope", "messages": question()}, 404, "model 'nope' not found"),
        ("/api/generate", {"model": "nope", "prompt": "a"}, 404, "model 'nope' not found"),
        ("/api/generate", {"model": "nope", "keep_alive": 0}, 404, "model 'nope' not found"),
        ("/api/show", {"model": "nope"}, 404, "model 'nope' not found"),
        ("/api/embed", {"model": "nope", "input": "a"}, 404, "model 'nope' not found"),
        ("/api/copy", {"source": "nope", "destination": "a"}, 404, "model 'nope' not found"),
        ("/api/create", {"model": "new", "from": "nope"}, 404, "model 'nope' not found"),
        ("/api/create", {"model": "new"}, 400, "neither 'from' or 'files' was specified"),
        ("/api/create", {"model": "new", "from": MODEL, "template": "{{ .Prompt }}"}, 400, "Jinja"),
        ("/api/create", {"model": "new", "from": MODEL, "parameters": {"top_k": "x"}}, 400, "top_k"),
        ("/api/create", {"model": "new", "files": {"../a.gguf": "sha256:" + "0" * 64}}, 400, "file name"),
        ("/api/pull", {"model": "llama3.2"}, 404, "model 'llama3.2' not found"),
        ("/api/pull", {"model": "/etc/passwd"}, 404, "not found"),
        ("/api/push", {"model": MODEL}, 501, "cannot be pushed"),
        ("/api/chat", {"messages": question()}, 400, "model is required"),
        ("/api/chat", {"model": MODEL, "messages": [{"role": "user", "images": ["YQ=="]}]}, 400, "image"),
        ("/api/chat", {"model": MODEL, "messages": question(), "format": 7}, 400, "format"),
        ("/api/chat", {"model": MODEL, "messages": question(), "keep_alive": "soon"}, 400, "keep_alive"),
        ("/api/chat", {"model": MODEL, "messages": question(), "options": {"top_k": "many"}}, 400, "top_k"),
        ("/api/chat", {"model": MODEL, "messages": question(), "options": {"temperature": -1}}, 400, "temperature"),
        ("/api/chat", {"model": MODEL, "messages": question(), "top_logprobs": 21}, 400, "top_logprobs"),
        ("/api/generate", {"model": MODEL, "prompt": "a", "raw": True, "system": "b"}, 400, "raw mode"),
        ("/api/generate", {"model": MODEL, "prompt": "a", "suffix": "b"}, 400, "does not support insert"),
        ("/api/generate", {"model": MODEL, "prompt": "a", "template": "{{ .Prompt }}"}, 400, "Jinja"),
        ("/api/generate", {"model": MODEL, "prompt": "a", "context": [10**6]}, 400, "token id"),
        ("/api/embed", {"model": MODEL, "input": [""]}, 400, "empty"),
        ("/api/blobs/sha256:123", {}, 400, "digest"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(
    server: RunningServer, path: str, body: dict[str, Any], status: int, text: str
) -> None:
    assert text in post(server, path, status=status, **body)["error"]


def test_a_body_that_is_no_json_is_refused(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.post("/api/chat", content=b"{")
        missing = client.get("/api/nothing")
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert (missing.status_code, list(missing.json())) == (404, ["error"])


def test_embeddings_have_a_length_of_one(server: RunningServer) -> None:
    found = post(server, "/api/embed", model=MODEL, input=["The sea.", "A ship."])
    short = post(server, "/api/embed", model=MODEL, input="The sea.", dimensions=16)
    old = post(server, "/api/embeddings", model=MODEL, prompt="The sea.")
    for vector in (*found["embeddings"], *short["embeddings"]):
        assert sum(value * value for value in vector) == pytest.approx(1, abs=1e-4)
    assert (len(found["embeddings"]), len(short["embeddings"][0])) == (2, 16)
    assert old["embedding"] == pytest.approx(found["embeddings"][0], abs=1e-6)
    assert found["prompt_eval_count"] > 0
    assert post(server, "/api/embed", model=MODEL, input=[])["embeddings"] == []


def test_a_text_beyond_the_context_is_cut_unless_that_is_unwanted(server: RunningServer) -> None:
    text = "The sea is wide. " * 600
    assert post(server, "/api/embed", model=MODEL, input=text)["prompt_eval_count"] == 512
    assert "512" in post(server, "/api/embed", status=400, model=MODEL, input=text, truncate=False)["error"]


def test_a_model_is_loaded_and_unloaded_by_empty_requests(own_server: RunningServer) -> None:
    with own_server.client() as client:
        assert client.get("/api/ps").json() == {"models": []}
        loaded = client.post("/api/generate", json={"model": MODEL, "keep_alive": "10m"}).json()
        assert (loaded["done"], loaded["done_reason"], loaded["response"]) == (True, "load", "")
        [row] = client.get("/api/ps").json()["models"]
        assert row["name"] == "tiny-llm:raspberrypi5-q4_k_m"
        assert row["context_length"] == 512
        assert row["size"] > 10**6
        gone = client.post("/api/chat", json={"model": MODEL, "messages": [], "keep_alive": 0}).json()
        assert (gone["done_reason"], gone["message"]) == ("unload", {"role": "assistant", "content": ""})
        assert client.get("/api/ps").json() == {"models": []}


def test_what_fails_in_the_middle_is_the_last_line(own_server: RunningServer) -> None:
    body = {"model": MODEL, "prompt": "Once upon a time", "raw": True, "options": {"num_predict": 10**6}}
    with own_server.client() as client, client.stream("POST", "/api/generate", json=body) as answer:
        assert answer.status_code == 200
        pieces = answer.iter_lines()
        assert json.loads(next(pieces))["done"] is False
        for child in psutil.Process(own_server.process.pid).children(recursive=True):
            if "edgellm_runtimes.worker" in " ".join(child.cmdline()):
                child.kill()
        last = json.loads(list(pieces)[-1])
    assert list(last) == ["error"]
    again = {"model": MODEL, "prompt": "a", "options": GREEDY, "stream": False}
    with own_server.client() as client:
        while (answer := client.post("/api/generate", json=again)).status_code == 503:
            time.sleep(0.05)  # it waits a moment before it starts again
    assert answer.json()["done"] is True
