"""Conversations on the disk: what is said stays said, whatever happens to the file."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import BusyError, NoSpaceError, NotFoundError, UnsupportedError, UsageError
from edgellm.tui.chat.answer_file import AnswerFile
from edgellm.tui.chat.conversation import Conversation
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.journal import Journal
from edgellm.tui.chat.records import Attachment, ChatSettings, Started
from edgellm.tui.chat.search import search


@pytest.fixture
def kept(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "conversations")


def begun(kept: Conversations, *said: str) -> Conversation:
    conversation = kept.begin(ChatSettings(model="tiny"))
    for index, text in enumerate(said):
        conversation.add("assistant" if index % 2 else "user", text, parent=conversation.leaf)
    return conversation


def texts(conversation: Conversation) -> list[str]:
    return [message.text for message in conversation.messages()]


def reopened(kept: Conversations, conversation: Conversation) -> Conversation:
    conversation.close()
    return kept.open(conversation.id)


def file_of(conversation: Conversation) -> Path:
    assert conversation.path is not None
    return conversation.path


def test_what_was_said_is_there_when_it_is_opened_again(kept: Conversations) -> None:
    conversation = begun(kept, "Hello", "Hi!", "What is\nthis? ü 漢 \u2028 end")
    conversation.set(title="A title", settings=ChatSettings(model="other", system="Be brief.", sampling={"top_k": 5}))
    again = reopened(kept, conversation)
    assert texts(again) == ["Hello", "Hi!", "What is\nthis? ü 漢 \u2028 end"]
    assert (again.title, again.settings) == (conversation.title, conversation.settings)
    assert again.created == conversation.created
    assert again.damaged == 0


@given(said=st.lists(st.text(), max_size=8))
def test_any_text_survives(said: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = Conversations(tmp_path_factory.mktemp("any"))
    conversation = begun(kept, "x", *said)
    assert texts(conversation)[1:] == said
    assert texts(reopened(kept, conversation))[1:] == said


def test_half_a_surrogate_pair_is_kept_as_a_question_mark(kept: Conversations) -> None:
    conversation = begun(kept, "before \ud800 after")
    assert texts(conversation) == ["before ? after"]
    assert texts(reopened(kept, conversation)) == ["before ? after"]


def test_files_are_for_their_owner_alone_whatever_the_umask(kept: Conversations) -> None:
    before = os.umask(0)
    try:
        conversation = begun(kept, "Hello")
        kept.draft(conversation).write("typed")
        kept.summaries()
    finally:
        os.umask(before)
    assert kept.folder is not None
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    assert {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in kept.folder.iterdir()} == {
        ".jsonl": 0o600,
        ".draft": 0o600,
        ".json": 0o600,
    }


def test_nothing_is_on_the_disk_before_something_is_said(kept: Conversations) -> None:
    conversation = kept.begin(ChatSettings())
    conversation.set(title="renamed")
    assert kept.folder is not None
    assert not kept.folder.exists()
    conversation.add("user", "Hello")
    assert file_of(conversation).exists()


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    memory = Conversations(None)
    conversation = begun(memory, "Hello", "Hi!")
    assert texts(conversation) == ["Hello", "Hi!"]
    memory.draft(conversation).write("typed")
    assert memory.answer_path(conversation) is None
    assert memory.summaries() == []
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_in_memory_can_be_kept(tmp_path: Path) -> None:
    conversation = begun(Conversations(None), "Hello", "Hi!")
    Conversations(None).keep(conversation, tmp_path / "kept")
    conversation.add("user", "More", parent=conversation.leaf)
    assert texts(reopened(Conversations(tmp_path / "kept"), conversation)) == ["Hello", "Hi!", "More"]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_line_costs_that_line_alone(kept: Conversations, cut: int) -> None:
    conversation = begun(kept, "one", "two", "three")
    conversation.close()
    path = file_of(conversation)
    os.truncate(path, path.stat().st_size - 1 - cut)
    again = kept.open(conversation.id)
    assert texts(again) == ["one", "two"]
    assert again.damaged == 1
    again.add("user", "three again", parent=again.leaf)
    assert texts(reopened(kept, again)) == ["one", "two", "three again"]


def test_a_line_without_its_end_is_whole(kept: Conversations) -> None:
    conversation = begun(kept, "one", "two")
    conversation.close()
    os.truncate(file_of(conversation), file_of(conversation).stat().st_size - 1)
    again = kept.open(conversation.id)
    assert texts(again) == ["one", "two"]
    again.add("user", "three", parent=again.leaf)
    assert texts(reopened(kept, again)) == ["one", "two", "three"]


def test_damage_in_the_middle_costs_what_is_damaged(kept: Conversations) -> None:
    conversation = begun(kept, "one", "two", "three", "four")
    conversation.close()
    lines = file_of(conversation).read_bytes().splitlines()
    hit = next(index for index, line in enumerate(lines) if b'"two"' in line)
    lines[hit] = b"\0" * len(lines[hit])
    file_of(conversation).write_bytes(b"\n".join(lines) + b"\n")
    again = kept.open(conversation.id)
    assert texts(again) == ["one", "three", "four"]
    assert again.damaged == 1
    assert kept.summaries()[0].damaged == 1


@given(noise=st.binary(max_size=200), where=st.integers(0, 2000))
def test_no_damage_keeps_a_conversation_from_being_opened(
    noise: bytes, where: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = Conversations(tmp_path_factory.mktemp("noise"))
    conversation = begun(kept, "one", "two", "three")
    conversation.close()
    raw = file_of(conversation).read_bytes()
    where %= len(raw)
    file_of(conversation).write_bytes(raw[:where] + noise + raw[where + len(noise) // 2 :])
    again = kept.open(conversation.id)
    again.add("user", "after", parent=again.leaf)
    assert texts(reopened(kept, again))[-1] == "after"


def test_lines_of_a_later_version_are_passed_over(kept: Conversations) -> None:
    conversation = begun(kept, "one")
    conversation.close()
    with file_of(conversation).open("a") as file:
        file.write('{"type":"sketch","id":7}\n')
    again = kept.open(conversation.id)
    assert (texts(again), again.damaged) == (["one"], 0)
    again.close()
    raw = file_of(conversation).read_text().replace('"version":1', '"version":2')
    file_of(conversation).write_text(raw)
    with pytest.raises(UnsupportedError, match="later edgellm"):
        kept.open(conversation.id)
    assert "later edgellm" in kept.summaries()[0].title


def test_a_full_disk_is_said_and_costs_nothing(kept: Conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = begun(kept, "one")
    whole = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 10:
            return whole(descriptor, bytes(data[:10]), offset)  # a part of it still fits
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    conversation.add("assistant", "two, which is long enough", parent=conversation.leaf)
    conversation.add("user", "three", parent=conversation.leaf)
    assert isinstance(conversation.problem, NoSpaceError)
    assert texts(conversation) == ["one", "two, which is long enough", "three"]
    monkeypatch.setattr(os, "pwrite", whole)
    assert conversation.retry()
    assert conversation.problem is None
    assert texts(conversation) == ["one", "two, which is long enough", "three"]
    assert texts(reopened(kept, conversation)) == ["one", "two, which is long enough", "three"]


def test_a_folder_that_cannot_be_made_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "conversations").write_text("a file is in the way")
    kept = Conversations(tmp_path / "conversations")
    conversation = begun(kept, "one", "two")
    assert conversation.problem is not None
    assert texts(conversation) == ["one", "two"]
    (tmp_path / "conversations").unlink()
    assert conversation.retry()
    assert texts(reopened(kept, conversation)) == ["one", "two"]


def test_versions_of_an_answer_and_of_a_question(kept: Conversations) -> None:
    conversation = begun(kept, "question", "first answer", "thanks")
    question = conversation.message_ids[0]
    conversation.add("assistant", "second answer", parent=question)
    assert texts(conversation) == ["question", "second answer"]
    first, second = conversation.versions(conversation.message_ids[1])
    conversation.choose(first)
    assert texts(conversation) == ["question", "first answer", "thanks"]
    conversation = reopened(kept, conversation)
    assert texts(conversation) == ["question", "first answer", "thanks"]
    conversation.add("user", "edited question", parent=None)
    assert texts(conversation) == ["edited question"]
    assert len(conversation.versions(conversation.message_ids[0])) == 2
    conversation.choose(second)
    assert texts(reopened(kept, conversation)) == ["question", "second answer"]


def test_two_programs_do_not_write_one_conversation(kept: Conversations) -> None:
    conversation = begun(kept, "one")
    with pytest.raises(BusyError, match="open in another program"):
        Journal(file_of(conversation))
    reader = kept.open(conversation.id, read_only=True)
    assert texts(reader) == ["one"]
    assert not reader.is_writable
    with pytest.raises(BusyError):
        kept.delete(conversation.id)
    with pytest.raises(BusyError):
        kept.purge()
    conversation.close()
    kept.delete(conversation.id)
    assert kept.summaries() == []


def test_an_answer_that_was_cut_off_by_a_crash_is_recovered(kept: Conversations) -> None:
    conversation = begun(kept, "question")
    path = kept.answer_path(conversation)
    started = Started(id=conversation.next_id(), parent=conversation.leaf, time=1.0, model="tiny")
    file = AnswerFile(path, started, interval_s=0)
    file.add(thoughts="Let me see.")
    file.add("The answer")
    file.add(" is 4")
    assert path is not None
    with path.open("ab") as torn:
        torn.write(b'{"type":"piece","te')
    again = reopened(kept, conversation)
    answer = again.last("assistant")
    assert answer is not None
    assert (answer.text, answer.thoughts, answer.finish) == ("The answer is 4", "Let me see.", "interrupted")
    assert not path.exists()
    assert texts(reopened(kept, again)) == ["question", "The answer is 4"]


def test_a_draft_is_there_after_a_crash(kept: Conversations) -> None:
    conversation = begun(kept, "one")
    draft = kept.draft(conversation)
    for text in ("h", "he", "hel\nlo"):
        assert draft.write(text)
    assert kept.draft(conversation).text == "hel\nlo"
    draft.write("")
    assert kept.draft(conversation).text == ""
    assert kept.folder is not None
    assert not list(kept.folder.glob("*.draft"))


def test_the_list_has_the_last_one_first_and_follows_what_others_write(kept: Conversations) -> None:
    first, second = begun(kept, "first"), begun(kept, "second")
    for age, conversation in enumerate((second, first)):
        os.utime(file_of(conversation), (1e9 - age, 1e9 - age))
    assert [each.title for each in kept.summaries()] == ["second", "first"]
    assert kept.folder is not None
    other = Conversations(kept.folder)
    first.add("assistant", "answer", parent=first.leaf)
    assert [(each.title, each.messages) for each in other.summaries()] == [("first", 2), ("second", 1)]
    (kept.folder / "index.json").write_bytes(b'{"torn')
    assert len(Conversations(kept.folder).summaries()) == 2


def test_a_conversation_is_found_by_what_people_call_it(kept: Conversations) -> None:
    first, second = begun(kept, "About cats"), begun(kept, "About dogs")
    assert kept.find(first.id) == first.id
    assert kept.find("about DOGS") == second.id
    assert kept.find("cat") == first.id
    assert kept.find("1") == kept.summaries()[0].id
    with pytest.raises(UsageError, match="2 conversations"):
        kept.find("about")
    for missing in ("birds", "", "../../etc/passwd", "9"):
        with pytest.raises(NotFoundError):
            kept.find(missing)
    with pytest.raises(NotFoundError):
        kept.open("../../etc/passwd")


def test_search_finds_titles_messages_and_files_in_any_case(kept: Conversations) -> None:
    cats = begun(kept, "About cats", "They purr when STROKED\nsoftly, as many know, in the evening by the fire.")
    begun(kept, "About dogs")
    cats.add("user", "see this", parent=cats.leaf, attachments=(Attachment("notes.txt", "secret"),))
    assert [each.summary.id for each in search(kept, "stroked softly")] == [cats.id]
    (found,) = search(kept, "purr")
    assert found.message == 2
    assert found.excerpt == "They purr when STROKED softly, as many kn…"
    assert [each.summary.id for each in search(kept, "NOTES")] == [cats.id]
    assert len(list(search(kept, "about"))) == 2
    assert list(search(kept, "birds")) == []
    assert list(search(kept, "  ")) == []


def test_purge_leaves_nothing(kept: Conversations) -> None:
    for text in ("one", "two"):
        conversation = begun(kept, text)
        kept.draft(conversation).write("typed")
        conversation.close()
    kept.summaries()
    assert kept.purge() == 2
    assert kept.folder is not None
    assert not kept.folder.exists()
    assert kept.purge() == 0


def test_forgetting_an_open_conversation_leaves_nothing_of_it(kept: Conversations) -> None:
    conversation = begun(kept, "secret words")
    kept.draft(conversation).write("typed secret")
    kept.summaries()
    kept.forget(conversation)
    assert kept.folder is not None
    assert all(b"secret" not in path.read_bytes() for path in kept.folder.iterdir())


def test_the_title_is_the_beginning_of_the_first_message(kept: Conversations) -> None:
    assert begun(kept, "  Why is\nthe sky blue? ").title == "Why is the sky blue?"
    long = begun(kept, "word " * 40).title
    assert long.endswith("word…")
    assert len(long) <= 60
    assert begun(kept, "\x1b[2Jx").title == "[2Jx"


def test_the_file_is_lines_of_json(kept: Conversations) -> None:
    lines = [json.loads(line) for line in file_of(begun(kept, "one", "two")).read_text().splitlines()]
    assert [line["type"] for line in lines] == ["conversation", "settings", "message", "settings", "message"]
