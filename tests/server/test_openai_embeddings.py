"""POST /v1/embeddings"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest
from openai_requests import ask

from server_process import RunningServer

PATH = "/v1/embeddings"


def test_vectors_of_texts(server: RunningServer) -> None:
    answer = ask(server, PATH, input=["One text", "and another"])
    assert answer["object"] == "list"
    assert [entry["index"] for entry in answer["data"]] == [0, 1]
    for entry in answer["data"]:
        assert entry["object"] == "embedding"
        assert math.isclose(sum(number**2 for number in entry["embedding"]), 1, rel_tol=1e-5)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 2


def test_base64_holds_the_same_numbers(server: RunningServer) -> None:
    (plain,) = ask(server, PATH, input="One text")["data"]
    (coded,) = ask(server, PATH, input="One text", encoding_format="base64")["data"]
    numbers = np.frombuffer(base64.b64decode(coded["embedding"]), "<f4")
    assert np.allclose(numbers, plain["embedding"], atol=1e-6)


def test_fewer_dimensions_are_the_first_ones_at_length_one(server: RunningServer) -> None:
    (whole,) = ask(server, PATH, input="One text")["data"]
    (short,) = ask(server, PATH, input="One text", dimensions=8)["data"]
    cut = np.array(whole["embedding"][:8])
    assert np.allclose(short["embedding"], cut / np.linalg.norm(cut), atol=1e-5)


def test_token_ids(server: RunningServer) -> None:
    one = ask(server, PATH, input=[5, 6, 7])
    assert one["usage"]["prompt_tokens"] == 3
    two = ask(server, PATH, input=[[5, 6, 7], [8]])
    assert np.allclose(two["data"][0]["embedding"], one["data"][0]["embedding"], atol=1e-3)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"input": []}, "input is empty"),
        ({"input": [""]}, "text 0 is empty"),
        ({"input": "a", "dimensions": 0}, "dimensions is 0"),
        ({"input": "a", "dimensions": 10**6}, "vectors of this model have 256"),
        ({"input": "a", "encoding_format": "int8"}, "int8"),
        ({"input": "word " * 2000}, "the context holds 512"),
    ],
)
def test_what_is_off_is_refused(server: RunningServer, body: dict[str, Any], message: str) -> None:
    assert message in ask(server, PATH, 400, **body)["error"]["message"]
