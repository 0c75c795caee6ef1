"""What Tab completes in a chat."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgellm.tui.chat.commands import Chat
from edgellm.tui.chat.completion import common_start, completions, tails
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.presets import Presets
from edgellm.tui.chat.records import ChatSettings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("notes.txt", "my notes.md", ".hidden", "odd\x1bname"):
        (tmp_path / name).write_text("")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "deep.json").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_commands() -> None:
    assert completions("/sy") == ["/system "]
    assert completions("/s") == ["/system ", "/set ", "/schema ", "/search ", "/save "]
    assert common_start(completions("/se")) == "/se"
    assert completions("/ATT") == ["/attach "]
    for line in ("", "hello", "//s", "/system say", "/nope x", "/s\nt", " /s"):
        assert completions(line) == []


@pytest.mark.parametrize("command", ["attach", "schema", "save", "export"])
def test_paths(folder: Path, command: str) -> None:
    def after(text: str) -> list[str]:
        return [line.removeprefix(f"/{command} ") for line in completions(f"/{command} {text}")]

    assert after("") == ["my notes.md", "new/", "notes.txt"]
    assert after("n") == ["new/", "notes.txt"]
    assert after("my n") == ["my notes.md"]
    assert after("new/") == ["new/deep.json"]
    assert after("./new/d") == ["./new/deep.json"]
    assert after(f"{folder}/not") == [f"{folder}/notes.txt"]
    assert after("~") == ["~/"]
    assert after("~/no") == ["~/notes.txt"]
    assert after(".h") == [".hidden"]
    assert after("odd") == []  # what could not be shown
    assert after("nowhere/x") == after("~nobody-of-this-name/") == []
    assert tails(completions(f"/{command} ./n")) == ["new/", "notes.txt"]


def test_words() -> None:
    assert completions("/attach cl") == ["/attach clear"]
    assert completions("/think o") == ["/think on", "/think off"]
    assert {"/set top_k ", "/set top_p "} <= set(completions("/set top_"))
    assert tails(["/set top_k ", "/attach clear", "/help "]) == ["top_k", "clear", "/help"]


def test_titles_and_presets(tmp_path: Path) -> None:
    conversations = Conversations(tmp_path / "kept")
    for title in ("My talk", "Another one"):
        conversation = conversations.begin(ChatSettings())
        conversation.add("user", "hello", parent=None)
        conversation.set(title=title)
        conversation.close()

    class Session:
        pass

    session = Session()
    session.conversations = conversations  # type: ignore[attr-defined]
    chat = Chat(session, Presets(None), tmp_path)  # type: ignore[arg-type]
    assert completions("/load my", chat) == ["/load My talk"]
    assert sorted(completions("/open ", chat)) == ["/open Another one", "/open My talk"]
    assert "/preset exact" in completions("/preset e", chat)
    assert completions("/preset s", chat) == ["/preset save "]
    assert completions("/load my") == []
