"""The calls of docs/reference/http work as they stand, and their answers have the fields that are shown."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from server_process import RunningServer

_FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference" / "http"
_PAGES = ("anthropic.md", "llamacpp.md")
_CALL = re.compile(r"```sh\n(curl .*?)```(?:\n\n```json\n(.*?)```)?", re.DOTALL)
_ADDRESS = "http://127.0.0.1:11434"


def calls() -> list[Any]:
    found = []
    for page in _PAGES:
        for number, match in enumerate(_CALL.finditer((_FOLDER / page).read_text(encoding="utf-8"))):
            found.append(pytest.param(match[1], match[2], id=f"{page}-{number}"))
    return found


def send(server: RunningServer, command: str) -> httpx.Response:
    """What the curl of the page would get."""
    words = shlex.split(command)
    path = next(word for word in words if word.startswith(_ADDRESS)).removeprefix(_ADDRESS)
    values = {option: words[words.index(option) + 1] for option in ("-d", "-H") if option in words}
    headers = dict([values["-H"].split(": ", 1)]) if "-H" in values else {}
    with server.client(headers=headers) as client:
        if "-d" not in values:
            return client.get(path)
        return client.post(path, content=values["-d"], headers={"content-type": "application/x-www-form-urlencoded"})


def names(value: Any) -> Any:
    """The keys of ``value``, of what is in it too; a list has those of its first item."""
    if isinstance(value, dict):
        return {key: names(each) for key, each in value.items()}
    return names(value[0]) if isinstance(value, list) and value else None


@pytest.mark.parametrize(("command", "shown"), calls())
def test_a_call_of_the_reference_is_answered_as_it_says(server: RunningServer, command: str, shown: str | None) -> None:
    response = send(server, command)
    assert response.status_code == 200, response.text
    if shown is not None:
        assert names(response.json()) == names(json.loads(shown))


_SESSION = ("native.md", "ollama.md", "openai.md")
_BLOCK = re.compile(r"```(?:console|sh)\n(.*?)```(?:\n\n```json\n(.*?)```)?", re.DOTALL)
_KEY = re.compile(r'(?<!\\)"(\w+)":')
_STATUS = re.compile(r"HTTP/1\.1 (\d{3})")
_NEEDS_MORE = ("/api/pull", "$(")  # a hub, a shell


def session(page: str) -> list[tuple[list[str], str]]:
    """The calls of a page in their order, each as the words of its command line, with what is shown of its answer."""
    found: list[tuple[list[str], str]] = []
    for block, answer in _BLOCK.findall((_FOLDER / page).read_text(encoding="utf-8")):
        lines = block.splitlines()
        while lines:
            command, shown = lines.pop(0).removeprefix("$ "), answer
            while (words := _words(command)) is None:
                command += "\n" + lines.pop(0)
            while lines and not lines[0].startswith(("$ ", "curl ")):
                shown += lines.pop(0) + "\n"
            if words[0] == "curl" and not any(each in command for each in _NEEDS_MORE):
                found.append((words, shown))
    return found


def _words(command: str) -> list[str] | None:
    try:
        words = shlex.split(command)
    except ValueError:  # a quote is open: the command goes on
        return None
    return words[: words.index("|")] if "|" in words else words


def answer_of(server: RunningServer, words: list[str]) -> tuple[int, str]:
    """Status and text of what curl would get; of a stream that has no end its first event."""
    address = next(word for word in words if word.startswith(("$U", "http://")))
    path = re.sub(r"^(\$U|http://[\w.]+:11434)", "", address)
    content = words[words.index("-d") + 1] if "-d" in words else None
    method = words[words.index("-X") + 1] if "-X" in words else "GET" if content is None else "POST"
    form = {"content-type": "application/x-www-form-urlencoded"}  # as curl says of -d
    with server.client() as client, client.stream(method, path, content=content, headers=form) as response:
        text = ""
        for part in response.iter_text():
            text += part
            if "\n\n" in text and path.endswith(("/changes", "/stream", "interval_s=1")):
                break
        return response.status_code, text


@pytest.mark.parametrize("page", _SESSION)
def test_the_calls_of_a_page_are_answered_with_the_fields_that_it_shows(own_server: RunningServer, page: str) -> None:
    calls_in_order = session(page)
    assert len(calls_in_order) >= 9
    if page == "ollama.md":  # it is shown before it is made
        calls_in_order.sort(key=lambda call: "/api/create" not in call[0][1])
    for words, shown in calls_in_order:
        if "statistics" in words[-1]:  # a call before it has unloaded the model
            assert answer_of(own_server, ["curl", "$U/api/edgellm/load", "-d", '{"model": "tiny-llm"}'])[0] == 200
        status, text = answer_of(own_server, words)
        told = _STATUS.match(shown)
        if told is not None:
            assert status == int(told[1]), (words, text)
            continue
        assert (status >= 400) == shown.startswith('{"error"'), (words, text)
        missing = set(_KEY.findall(shown)) - set(_KEY.findall(text))
        assert not missing, (words, missing, text)
