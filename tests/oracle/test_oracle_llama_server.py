"""llama-server's own answers and ours, over the same model: the same fields of the same types, and the same tokens."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import oracle_tools
import pytest

from cli_process import Cli
from server_process import free_port, running_server

pytestmark = pytest.mark.oracle

_START_S = 120.0
_STORY = "Once upon a time there was a small town by the sea."
# What llama-server says and we need not: (path, field) -> why.
_ABSENT = {("/props", "chat_template_tool_use"): "of models with two templates"}


@dataclass(frozen=True)
class Both:
    """llama-server and ours."""

    theirs: httpx.Client
    ours: httpx.Client

    def post(self, path: str, **body: Any) -> tuple[Any, Any]:
        """What each of them answers."""
        found = [client.post(path, json=body) for client in (self.theirs, self.ours)]
        assert [each.status_code for each in found] == [200, 200], [each.text for each in found]
        return found[0].json(), found[1].json()

    def get(self, path: str) -> tuple[Any, Any]:
        """Likewise."""
        found = [client.get(path).raise_for_status().json() for client in (self.theirs, self.ours)]
        return found[0], found[1]

    def stream(self, path: str, **body: Any) -> tuple[list[Any], list[Any]]:
        """The events that each of them sends."""
        found = [
            client.post(path, json={**body, "stream": True}).raise_for_status() for client in (self.theirs, self.ours)
        ]
        parsed = [
            [json.loads(part.removeprefix("data: ")) for part in each.text.split("\n\n") if part.startswith("data: ")]
            for each in found
        ]
        return parsed[0], parsed[1]


@pytest.fixture(scope="module")
def both(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("llama-server")
    home = folder / "home"
    Cli(home).run("pack", tiny_gguf, "--device", "raspberrypi5", "--quant", "F16", "--name", "tiny-llm")
    with (
        running_server(home, folder / "log") as server,
        _llama_server(tiny_gguf, folder) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as theirs,
        server.client() as ours,
    ):
        yield Both(theirs, ours)


@contextlib.contextmanager
def _llama_server(model: Path, folder: Path) -> Iterator[str]:
    program = oracle_tools.llama_tool("llama-server")
    if not program.exists():
        oracle_tools.missing("llama-server is not built: python tests/oracle/build_tools.py --serving")
    port = free_port()
    command = [str(program), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "-c", "512", "-np", "1"]
    with (folder / "llama-server.log").open("wb") as log:
        process = subprocess.Popen([*command, "--embeddings", "--pooling", "mean", "-t", "2"], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + _START_S
        while True:
            assert process.poll() is None, (folder / "llama-server.log").read_text(errors="replace")[-2000:]
            assert time.monotonic() < until
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                    break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def shape(value: Any) -> Any:
    """``value`` with types in the place of its leaves; a list has the shape of its first item. JSON has one type
    of numbers."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value).__name__
    return "number"


def differences(path: str, theirs: Any, ours: Any, where: str = "") -> list[str]:
    """What is not the same. A list that one of them leaves empty says nothing of its items."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        names = [name for name in sorted(theirs.keys() | ours.keys()) if (path, name) not in _ABSENT]
        found = [
            f"{where}.{name} is only {'ours' if name in ours else 'theirs'}"
            for name in names
            if (name in ours) != (name in theirs)
        ]
        shared = [name for name in names if name in ours and name in theirs]
        return found + [
            each for name in shared for each in differences(path, theirs[name], ours[name], f"{where}.{name}")
        ]
    if isinstance(theirs, list) and isinstance(ours, list):
        return differences(path, theirs[0], ours[0], f"{where}[]") if theirs and ours else []
    return [] if theirs == ours else [f"{where} is {theirs!r} and {ours!r}"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"n_probs": 3},
        {"n_probs": 2, "post_sampling_probs": True, "temperature": 1.0},
        {"return_tokens": True},
        {"stop": ["."], "n_predict": 60},
        {"logit_bias": [[5, 1.0], [6, False]]},
        {"grammar": 'root ::= "yes" | "no"'},
        {"response_fields": ["content", "generation_settings/n_predict", "timings/predicted_n"]},
        {"prompt": ["One", "Two three"]},
        {"cache_prompt": False},
        {"dry_multiplier": 0.5, "mirostat": 2},
    ],
)
def test_a_completion_has_the_same_fields(both: Both, body: dict[str, Any]) -> None:
    theirs, ours = both.post("/completion", **{"prompt": _STORY, "n_predict": 5, "temperature": 0.0, "seed": 1, **body})
    assert differences("/completion", shape(theirs), shape(ours)) == []


@pytest.mark.parametrize("body", [{}, {"n_probs": 2}, {"timings_per_token": True}])
def test_a_stream_has_the_same_fields(both: Both, body: dict[str, Any]) -> None:
    theirs, ours = both.stream("/completion", prompt=_STORY, n_predict=5, temperature=0.0, **body)
    assert len(theirs) == len(ours)
    for one, other in zip(theirs, ours, strict=True):
        assert differences("/completion", shape(one), shape(other)) == []
    assert [part["tokens"] for part in theirs] == [part["tokens"] for part in ours]
    assert [part["content"] for part in theirs] == [part["content"] for part in ours]


def test_the_likeliest_tokens_and_what_is_said_about_them_are_the_same(both: Both) -> None:
    theirs, ours = both.post("/completion", prompt=_STORY, n_predict=12, temperature=0.0, n_probs=3, return_tokens=True)
    same = (
        "content",
        "tokens",
        "tokens_predicted",
        "tokens_evaluated",
        "stop_type",
        "stopping_word",
        "prompt",
        "truncated",
        "has_new_line",
        "tokens_cached",
    )
    assert {name: theirs[name] for name in same} == {name: ours[name] for name in same}
    for one, other in zip(theirs["completion_probabilities"], ours["completion_probabilities"], strict=True):
        assert (one["id"], one["token"], one["bytes"]) == (other["id"], other["token"], other["bytes"])
        assert one["logprob"] == pytest.approx(other["logprob"], abs=2e-2)
        assert {each["id"] for each in one["top_logprobs"]} == {each["id"] for each in other["top_logprobs"]}


def test_a_stop_string_ends_both_at_the_same_place(both: Both) -> None:
    theirs, ours = both.post("/completion", prompt=_STORY, n_predict=60, temperature=0.0, stop=["."])
    assert theirs["stop_type"] == ours["stop_type"] == "word"
    assert (theirs["content"], theirs["stopping_word"]) == (ours["content"], ours["stopping_word"])


def test_settings_are_read_the_same(both: Both) -> None:
    asked = {
        "temperature": 0.5, "top_k": -3, "top_p": 0.75, "min_p": 0.25, "typical_p": 0.5, "repeat_penalty": 1.25,
        "repeat_last_n": 32, "presence_penalty": 0.5, "frequency_penalty": 0.25, "mirostat_tau": 4.0, "seed": 7,
        "dry_multiplier": 0.5, "dry_base": 2.0, "dry_allowed_length": 3, "dynatemp_range": 0.25, "n_predict": 3,
        "xtc_probability": 0.5, "xtc_threshold": 0.25, "ignore_eos": True, "stop": ["zzz"], "n_probs": 1,
    }  # fmt: skip
    theirs, ours = (answer["generation_settings"] for answer in both.post("/completion", prompt=_STORY, **asked))
    names = [name for name in asked if name in theirs]
    assert {name: theirs[name] for name in names} == {name: ours[name] for name in names}


@pytest.mark.parametrize("text", ["Hello wörld", "", " two  spaces", "🦀 crab", "<|im_end|>", "a\nb"])
@pytest.mark.parametrize("options", [{}, {"with_pieces": True}, {"add_special": True}, {"parse_special": False}])
def test_texts_become_the_same_tokens(both: Both, text: str, options: dict[str, Any]) -> None:
    theirs, ours = both.post("/tokenize", content=text, **options)
    assert theirs == ours


def test_mixed_contents_become_the_same_tokens(both: Both) -> None:
    theirs, ours = both.post("/tokenize", content=["Hello", 5, " you"])
    assert theirs == ours


def test_tokens_become_the_same_text(both: Both) -> None:
    theirs, ours = both.post("/detokenize", tokens=[1, 42, 6315, 130, 117, 400])
    assert theirs == ours


def test_a_chat_becomes_the_same_prompt(both: Both) -> None:
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    theirs, ours = both.post("/apply-template", messages=turns)
    assert theirs == ours


@pytest.mark.parametrize("body", [{"content": "Hello"}, {"content": ["Hello", "you"]}, {"input": "Hello"}])
def test_embeddings_are_the_same(both: Both, body: dict[str, Any]) -> None:
    path = "/embedding"
    if "input" in body:  # llama-server turns to OpenAI's form where it says /v1
        path = "/embeddings"
    theirs, ours = both.post(path, **body)
    assert differences(path, shape(theirs), shape(ours)) == []
    for one, other in zip(theirs, ours, strict=True):
        assert one["index"] == other["index"]
        assert one["embedding"][0] == pytest.approx(other["embedding"][0], abs=5e-3)


@pytest.mark.parametrize("path", ["/props", "/slots", "/health", "/lora-adapters"])
def test_what_is_told_of_the_server_has_the_same_fields(both: Both, path: str) -> None:
    both.post("/completion", prompt=_STORY, n_predict=2)  # a slot that was used says more
    theirs, ours = both.get(path)
    found = differences(path, shape(theirs), shape(ours))
    if path == "/health":  # ours says more: how the models are
        found = [each for each in found if "only ours" not in each]
    assert found == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/completion", {"prompt": _STORY, "n_predict": -5}),
        ("/completion", {"prompt": "word " * 600, "n_predict": 1}),
        ("/completion", {"prompt": _STORY, "grammar": "root ::= ("}),
        ("/embedding", {"content": ""}),
        ("/slots/0?action=save", {"filename": "x"}),
        ("/props", {}),
    ],
)
def test_errors_have_the_same_form_and_status(both: Both, path: str, body: dict[str, Any]) -> None:
    theirs, ours = both.theirs.post(path, json=body), both.ours.post(path, json=body)
    assert theirs.status_code == ours.status_code
    one, other = theirs.json()["error"], ours.json()["error"]
    assert one["code"] == other["code"]
    assert one["type"] == other["type"]
    assert one.keys() == other.keys()
