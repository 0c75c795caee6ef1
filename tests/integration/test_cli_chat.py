"""`edgellm chat --plain` and `edgellm chats`, as a user calls them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_process import Cli
from server_process import RunningServer, running_server

_PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def served(packed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over the store of ``packed_home``, which chats with a state of their own find."""
    with running_server(packed_home, tmp_path_factory.mktemp("served") / "log") as running:
        yield running


class Chats(Cli):
    """The command line over one store, with conversations of its own in ``state``."""

    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "EDGELLM_STATE": str(self.state), "EDGELLM_PORT": "0", "PYTHONUTF8": "1"}

    @property
    def files(self) -> list[str]:
        folder = self.state / "conversations"
        return sorted(path.suffix for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def chats(served: RunningServer, packed_home: Path, tmp_path: Path) -> Chats:
    cli = Chats(packed_home)
    object.__setattr__(cli, "state", tmp_path / "state")
    return cli


class Terminal:
    """A chat in a terminal of its own."""

    def __init__(self, cli: Cli, *arguments: str) -> None:
        self._parent, child = pty.openpty()
        environment = {**cli.environment, "TERM": "dumb"}
        self.process = subprocess.Popen(
            cli.command("chat", "--plain", *arguments), env=environment, stdin=child, stdout=child, stderr=child
        )
        os.close(child)
        self.shown = ""
        self._seen = 0

    def until(self, text: str) -> str:
        """What it shows up to ``text``, from where the last call ended."""
        end = time.monotonic() + _PATIENCE_S
        while text not in self.shown[self._seen :]:
            assert time.monotonic() < end, self.shown
            if select.select([self._parent], [], [], 1)[0]:
                try:
                    self.shown += os.read(self._parent, 65536).decode("utf-8", "replace").replace("\r", "")
                except OSError:
                    break
        found = self.shown.find(text, self._seen)
        assert found >= 0, self.shown
        before, self._seen = self.shown[self._seen : found], found + len(text)
        return before

    def type(self, text: str) -> None:
        """Type a line at the prompt."""
        self.until(">>> ")
        os.write(self._parent, text.encode() + b"\r")

    def end(self) -> int:
        """Its exit status, after Ctrl-D at the prompt: before it the terminal would keep that for itself."""
        self.until(">>> ")
        os.write(self._parent, b"\x04")
        try:
            status = self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        os.close(self._parent)
        return status


def test_tab_completes_commands_and_paths(chats: Chats, tmp_path: Path) -> None:
    folder = tmp_path / "some files"
    folder.mkdir()
    for name in ("report one.txt", "report two.txt"):
        (folder / name).write_text("text")
    terminal = Terminal(chats, "tiny-llm")
    terminal.type(f"/att\t{tmp_path}/som\trep\ttw\t")
    terminal.until("goes with the next message: report two.txt")
    terminal.type(f"/attach {folder}/\t\t\tone\t")  # what there is, and the line again
    assert "/report one.txt" not in terminal.until("report one.txt  report two.txt")
    terminal.until("report one.txt (4 B)")
    assert terminal.end() == 0


def test_a_pipe_is_one_message_whose_answer_alone_is_on_stdout(chats: Chats) -> None:
    arguments = ("chat", "tiny-llm", "--plain", "-n", "8", "--seed", "1")
    first = chats.run(*arguments, stdin=b"Hello\n")
    assert first.stdout.strip()
    assert "[cut off at the limit]" in first.stderr
    assert chats.run(*arguments, stdin=b"Hello\n").stdout == first.stdout
    assert chats.files == []
    assert chats.run(*arguments, "-q", stdin=b"Hello\n").stderr == ""


@pytest.mark.parametrize("message", [b"/etc is what?", b"// a comment", b"\n/help", b"Hello\n/bye"])
def test_a_slash_in_a_pipe_is_text_where_it_begins_no_command(chats: Chats, message: bytes) -> None:
    talk = Terminal(chats, "tiny-llm", "-n", "1")
    talk.type("Hello")
    talk.until("answer 1 ")
    assert talk.end() == 0
    chats.run("chat", "tiny-llm", "-c", "-n", "1", stdin=message)
    said = [each["content"] for each in chats.json("chats", "show", "1")["messages"] if each["role"] == "user"]
    assert said == ["Hello", message.decode()]


def test_a_server_is_started_where_none_runs_and_ends_by_itself(packed_home: Path, tmp_path: Path) -> None:
    cli = Chats(tmp_path / "home")
    object.__setattr__(cli, "state", tmp_path / "state")
    store = {"EDGELLM_STORE": str(packed_home / "store")}
    done = cli.run("chat", "tiny-llm", "-n", "4", stdin=b"Hello", environment=store)
    assert done.stdout.strip()
    end = time.monotonic() + _PATIENCE_S
    while json.loads(cli.run("ps", "--json", environment=store).stdout):
        assert time.monotonic() < end


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "says"),
    [
        (("tiny-llm",), b"", 2, "there is no message"),
        (("tiny-llm",), b"\xff", 2, "not UTF-8"),
        (("nobody",), b"Hello", 3, "there is no model 'nobody'"),
        (
            ("tiny-llm",),
            b"/set temperature 0\nHello",
            2,
            "/set at its start is a command, which is obeyed on a terminal",
        ),
        (("tiny-llm",), b"/q", 2, "begin with an empty line to send it as it is"),
        (("tiny-llm", "--temperature", "-1"), b"Hello", 2, "temperature is -1.0"),
        (("tiny-llm", "-c", "--no-history"), b"Hello", 2, "begins a conversation of its own"),
        (("tiny-llm", "-c"), b"Hello", 3, "no conversation to go on with"),
        (("tiny-llm", "--conversation", "x"), b"Hello", 3, "there is no conversation 'x'"),
        (("tiny-llm", "--attach", "/nowhere"), b"Hello", 3, "cannot read the file"),
        (("tiny-llm", "--logprobs", "2"), b"Hello", 2, "log-probabilities are for programs"),
    ],
)
def test_what_is_wrong_is_said(chats: Chats, arguments: tuple[str, ...], stdin: bytes, status: int, says: str) -> None:
    done = chats.run("chat", *arguments, stdin=stdin, status=status)
    assert says in done.stderr
    assert done.stdout.strip() == ""


def test_a_conversation_in_lines(chats: Chats, tmp_path: Path) -> None:
    talk = Terminal(chats, "tiny-llm", "-n", "6", "--seed", "1")
    talk.type("Hello")
    talk.until("answer 6 at")
    talk.type("/system Be brief.")
    talk.until("the system prompt is set")
    talk.type("/set temperature 7000")
    talk.until("temperature is 7000.0; it must be a number from 0.0 to 100.0")
    talk.type("two lines\\")
    talk.until("... ")
    os.write(talk._parent, b"of one message\r")
    talk.until("answer 6 at")
    talk.type('"""a block')
    talk.until("... ")
    os.write(talk._parent, b'that ends"""\r')
    talk.until("answer 6 at")
    talk.type("/model nobody")
    talk.until("there is no model 'nobody'")
    talk.until("the store has tiny-llm:")
    talk.type("/nope")
    talk.until("there is no command /nope")
    talk.type(f"/save {tmp_path / 'kept.json'}")
    talk.until("written to")
    talk.type("/rename My talk")
    talk.until("it is called My talk")
    assert talk.end() == 0
    document = json.loads((tmp_path / "kept.json").read_text())
    said = [each["content"] for each in document["messages"] if each["role"] == "user"]
    assert said == ["Hello", "two lines\nof one message", "a block\nthat ends"]
    assert document["settings"]["system"] == "Be brief."
    again = Terminal(chats, "-c")
    again.until("My talk: 6 messages")
    again.type("/retry")
    again.until("answer 6 at")
    assert again.end() == 0
    (row,) = chats.json("chats", "list")
    assert (row["title"], row["messages"]) == ("My talk", 6)


@pytest.mark.parametrize("where", ["server", "store", "empty store"])
@pytest.mark.parametrize("plain", [True, False], ids=["lines", "screen"])
def test_a_model_that_is_not_there_is_said_before_the_first_word(
    chats: Chats, packed_home: Path, tmp_path: Path, where: str, plain: bool
) -> None:
    cli: Cli = chats
    if where != "server":
        cli = Chats(tmp_path / "home")
        object.__setattr__(cli, "state", tmp_path / "state")
    store = tmp_path / "home" / "store" if where == "empty store" else packed_home / "store"
    environment = {**cli.environment, "EDGELLM_STORE": str(store), "TERM": "xterm-256color"}
    parent, child = pty.openpty()
    command = cli.command("chat", "nobody", *(["--plain"] if plain else []))
    process = subprocess.Popen(command, env=environment, stdin=child, stdout=child, stderr=subprocess.PIPE)
    os.close(child)
    try:
        said = process.communicate(timeout=_PATIENCE_S)[1].decode()
        shown = os.read(parent, 1) if select.select([parent], [], [], 0)[0] else b""
    except OSError:  # Linux's way to say that nobody has the terminal any more
        shown = b""
    finally:
        process.kill()
        process.wait()
        os.close(parent)
    assert process.returncode == 3, said
    assert "there is no model 'nobody'" in said
    assert ("the store has no model" if where == "empty store" else "the store has tiny-llm:") in said
    assert shown == b""


def test_ctrl_c_stops_an_answer_and_what_came_stays(chats: Chats) -> None:
    talk = Terminal(chats, "tiny-llm", "--ignore-eos")
    talk.type("Hello")
    talk.until("Hello\n")
    end = time.monotonic() + _PATIENCE_S
    while len(talk.shown) <= talk._seen + 3:
        assert time.monotonic() < end
        talk.shown += os.read(talk._parent, 100).decode("utf-8", "replace").replace("\r", "")
    talk.process.send_signal(signal.SIGINT)
    talk.until("]\n")
    talk.type("/info")
    talk.until("messages  2")
    assert talk.end() == 0


def test_a_crash_in_the_middle_of_an_answer_costs_nothing(chats: Chats) -> None:
    talk = Terminal(chats, "tiny-llm", "--ignore-eos")
    talk.type("Hello there")
    folder = chats.state / "conversations"
    end = time.monotonic() + _PATIENCE_S
    while not any(folder.glob("*.answer")) and "first token" not in talk.shown:
        assert time.monotonic() < end
        if select.select([talk._parent], [], [], 0.01)[0]:
            talk.shown += os.read(talk._parent, 100).decode("utf-8", "replace")
    talk.process.kill()
    talk.process.wait()
    os.close(talk._parent)
    (row,) = chats.json("chats", "list")
    assert row["title"] == "Hello there"
    again = Terminal(chats, "-c")
    again.until("Hello there:")
    again.type("/forget")
    again.until("the conversation is deleted")
    assert again.end() == 0
    assert chats.files == [".json"]


def test_chats_are_listed_searched_shown_exported_and_deleted(chats: Chats, tmp_path: Path) -> None:
    assert "no conversations are kept" in chats.run("chats", "list").stderr
    for text in ("About cats", "About dogs"):
        talk = Terminal(chats, "tiny-llm", "-n", "3")
        talk.type(text)
        talk.until("answer 3 at")
        assert talk.end() == 0
    assert [each["title"] for each in chats.json("chats", "list")] == ["About dogs", "About cats"]
    assert re.search(r"1 +\d{4}-\d\d-\d\d \d\d:\d\d +2 +tiny-llm +About dogs", chats.run("chats", "list").stdout)
    assert [each["title"] for each in chats.json("chats", "search", "CATS")] == ["About cats"]
    shown = chats.run("chats", "show", "cats").stdout
    assert shown.startswith("# About cats\n")
    assert "## You\n\nAbout cats\n" in shown
    chats.run("chats", "export", "cats", tmp_path / "cats.md")
    assert (tmp_path / "cats.md").read_text() == shown
    assert (tmp_path / "cats.md").stat().st_mode & 0o777 == 0o600
    chats.run("chats", "export", "cats", tmp_path / "cats.md", status=2)
    chats.run("chats", "export", "cats", tmp_path / "cats.txt", status=2)
    chats.run("chats", "rename", "cats", "Lions")
    assert chats.json("chats", "show", "Lions")["title"] == "Lions"
    chats.run("chats", "rm", "Lions", status=2)
    chats.run("chats", "rm", "Lions", "--yes")
    assert len(chats.json("chats", "list")) == 1
    assert "1 conversation is deleted" in chats.run("chats", "purge", "--yes").stderr
    assert chats.files == []


def test_history_can_be_turned_off(chats: Chats) -> None:
    talk = Terminal(chats, "tiny-llm", "-n", "3", "--no-history")
    talk.type("secret words")
    talk.until("answer 3 at")
    assert talk.end() == 0
    assert chats.files == []
    done = chats.run("chat", "-c", stdin=b"x", status=2, environment={"EDGELLM_CHAT_HISTORY": "false"})
    assert "chat_history is off" in done.stderr
