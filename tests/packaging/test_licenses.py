"""The page of licences keeps up with the dependencies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def declared() -> list[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    requirements = [*project["dependencies"], *extras]
    names = {match[0] for requirement in requirements if (match := re.match(r"[A-Za-z0-9._-]+", requirement))}
    return sorted(names - {"edgellm"})


@pytest.mark.parametrize("name", declared())
def test_every_declared_dependency_has_its_licence_listed(name: str) -> None:
    page = (REPOSITORY / "docs" / "reference" / "licenses.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| {name.lower()} |")]
    assert len(rows) == 1
    assert rows[0].split("|")[3].strip()
