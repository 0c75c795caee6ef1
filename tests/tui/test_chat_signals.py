"""Signals in the middle of an answer in a real terminal: it is left as it was, and what came is kept."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from chat_rig import ENDLESS, RealChats, texts
from terminal_rig import Terminal, terminal

from edgellm.tui.chat.answer_file import recovered_answer

_LEAVE_SCREEN = b"\x1b[?1049l"
_PATIENCE_S = 60.0
PROGRAMS = ["tui", "chat", "plain"]
_COMMANDS = {
    "tui": ("tui",),
    "chat": ("chat", ENDLESS, "--ignore-eos"),
    "plain": ("chat", ENDLESS, "--ignore-eos", "--plain"),
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def screen(program: str, chats: RealChats) -> Iterator[Terminal]:
    """A program in which an answer has begun to be shown."""
    with terminal(chats.store_home, *_COMMANDS[program], EDGELLM_STATE=str(chats.state)) as screen:
        if program == "tui":
            screen.wait_for("free for models")
            screen.press("\x1bOS")  # F4
            screen.wait_for("Say something")
            screen.press(f"/model {ENDLESS}\r")
            screen.wait_for(f"the model is {ENDLESS}")
            screen.press("/set ignore_eos on\r")
            screen.wait_for("ignore_eos is on")
        else:
            screen.wait_for(">>> " if program == "plain" else "Say something")
        screen.press("Tell me all\r")
        yield screen


def received(screen: Terminal, chats: RealChats, characters: int = 200) -> str:
    """Wait until so much of the answer is on the disk; returns it. What is drawn meanwhile is read."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        screen.read()
        for path in chats.state.glob("conversations/*.answer"):
            message = recovered_answer(path)
            if message is not None and len(message.text) >= characters:
                return message.text
        assert time.monotonic() < until, screen.text[-3000:]
        assert screen.process.poll() is None, screen.text[-3000:]


def the_answer(chats: RealChats) -> str:
    """What is kept of it, once its program has ended: nothing is left to be recovered."""
    assert not list(chats.state.glob("conversations/*.answer"))
    (summary,) = chats.kept.summaries()
    question, answer = texts(chats.kept.open(summary.id))
    assert question == "Tell me all"
    return answer


def assert_as_before(screen: Terminal, program: str) -> None:
    assert screen.attributes == screen.before
    assert "Traceback" not in screen.text, screen.text[-3000:]
    if program != "plain":
        assert _LEAVE_SCREEN in screen.drawn
        assert b"\x1b[?25h" in screen.drawn  # the cursor is shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_program_and_keeps_what_came(
    screen: Terminal, chats: RealChats, program: str, number: signal.Signals
) -> None:
    came = received(screen, chats)
    screen.process.send_signal(number)
    assert screen.end() == 128 + number
    assert_as_before(screen, program)
    kept = the_answer(chats)
    assert kept.startswith(came)
    if program == "plain":
        shown = screen.text.partition("Tell me all")[2].replace("\r", "").strip("\n")
        assert kept.strip("\n").startswith(shown[: len(came)])
        assert len(kept) >= len(shown.rstrip())
    chats.wait_idle()


def test_ctrl_c_stops_the_answer_and_the_program_goes_on(screen: Terminal, chats: RealChats, program: str) -> None:
    came = received(screen, chats)
    screen.press("\x03")
    chats.wait_idle()
    screen.wait_for("[stopped]" if program == "plain" else "stopped")
    screen.press("/info\r")
    screen.wait_for("messages  2")
    screen.press("\x04" if program == "plain" else "\x03")
    assert screen.end() == 0
    assert_as_before(screen, program)
    assert the_answer(chats).startswith(came)


def test_a_terminal_that_is_closed_keeps_what_came(screen: Terminal, chats: RealChats, program: str) -> None:
    came = received(screen, chats)
    screen.hang_up()
    screen.process.wait(_PATIENCE_S)
    assert the_answer(chats).startswith(came)
    chats.wait_idle()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_signal_at_the_prompt_of_plain_mode_leaves_the_terminal_as_it_was(
    chats: RealChats, number: signal.Signals
) -> None:
    with terminal(chats.store_home, "chat", ENDLESS, "--plain", EDGELLM_STATE=str(chats.state)) as screen:
        screen.wait_for(">>> ")
        screen.press("half a line")
        screen.wait_for("half a line")
        assert screen.attributes != screen.before
        screen.process.send_signal(number)
        assert screen.end() == 128 + number
        assert_as_before(screen, "plain")
