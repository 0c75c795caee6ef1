"""The pictures of the documents are those of the program."""

from __future__ import annotations

from make_pictures import FOLDER, pictures


def test_the_documents_show_what_the_program_shows() -> None:
    stale = [name for name, text in pictures().items() if (FOLDER / name).read_text(encoding="utf-8") != text]
    assert not stale, "run: python tests/tui/make_pictures.py"
