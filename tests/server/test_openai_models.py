"""GET /v1/models, and the paths of OpenAI's that are not here."""

from __future__ import annotations

import pytest

from server_process import RunningServer


def test_models_are_listed_and_shown(server: RunningServer) -> None:
    with server.client() as client:
        listed = client.get("/v1/models").json()
        (model,) = [card for card in listed["data"] if card["id"].startswith("tiny-llm:")]
        assert listed["object"] == "list"
        assert model["object"] == "model"
        assert model["created"] > 1_600_000_000
        assert model["max_model_len"] == 512
        for name in (model["id"], "tiny-llm"):
            assert client.get(f"/v1/models/{name}").json() == model


def test_a_model_that_is_not_there(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.get("/v1/models/nobody")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/images/generations", 501),
        ("POST", "/v1/audio/speech", 501),
        ("GET", "/v1/files", 501),
        ("GET", "/v1/responses/resp_1", 501),
        ("GET", "/v1/chat/completions", 501),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/models", 405),
    ],
)
def test_other_paths_have_errors_in_openais_form(server: RunningServer, method: str, path: str, status: int) -> None:
    with server.client() as client:
        answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
