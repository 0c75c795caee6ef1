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
