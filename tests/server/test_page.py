"""The files of the chat page, as a browser gets them. What they do there: tests/oracle/test_oracle_page.py."""

from __future__ import annotations

import re

import pytest

from edgellm.server.dialects.page.names import FILES
from server_process import RunningServer

_BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_browsers_get_the_page_and_others_what_ollamas_clients_look_for(server: RunningServer) -> None:
    with server.client() as client:
        page, text = client.get("/", headers=_BROWSER), client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.startswith("<!doctype html>")
    assert page.headers["vary"] == "accept"
    assert text.text == "Ollama is running"


@pytest.mark.parametrize("name", ["", *sorted(f"page/{name}" for name in FILES)])
def test_every_file_keeps_the_browser_to_this_server(server: RunningServer, name: str) -> None:
    with server.client() as client:
        response = client.get(f"/{name}", headers=_BROWSER)
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == FILES.get(name.removeprefix("page/"), "text/html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    outside = re.findall(r"(?:src|href|from|import|fetch|url)\s*[=(]?\s*[\"'(]+(?:https?:)?//[^\"')]*", response.text)
    assert outside == []


def test_every_file_that_the_page_names_is_there(server: RunningServer) -> None:
    with server.client() as client:
        texts = [client.get("/", headers=_BROWSER).text, *(client.get(f"/page/{name}").text for name in FILES)]
    named = {name for text in texts for name in re.findall(r'"/page/([\w.]+)"', text)}
    assert named == set(FILES)


def test_a_file_that_has_not_changed_is_not_sent_again(server: RunningServer) -> None:
    with server.client() as client:
        first = client.get("/page/app.js")
        again = client.get("/page/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_document_of_all_routes_is_served(server: RunningServer) -> None:
    with server.client() as client:
        document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert {"/v1/messages", "/completion", "/api/chat", "/v1/chat/completions"} <= document["paths"].keys()


def test_a_method_that_a_path_does_not_know_is_told_which_ones_it_does(server: RunningServer) -> None:
    with server.client() as client:
        response = client.put("/lora-adapters")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"
