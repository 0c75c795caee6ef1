"""The documents say what is: links lead somewhere, generated pages are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgellm.cli.reference import generated_files

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_generated_pages_are_those_of_the_code() -> None:
    stale = [
        name
        for name, text in generated_files().items()
        if (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, "run: make docs"


def test_the_readme_names_every_command() -> None:
    from edgellm.cli.main import COMMANDS

    told = " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in COMMANDS if f"edgellm {name}" not in told] == []
