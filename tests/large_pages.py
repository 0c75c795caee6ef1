"""Which memory of this process asked for large pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["asking_mappings", "needs_large_pages"]

_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")

needs_large_pages = pytest.mark.skipif(
    not _SETTING.exists() or "[never]" in _SETTING.read_text(), reason="this system gives no large pages"
)


def asking_mappings() -> Iterator[tuple[int, int]]:
    """First address and end of each mapping that asked for them."""
    for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        if re.search(r"^VmFlags:.* hg\b", part, re.MULTILINE):
            first, last = (int(each, 16) for each in part.split(" ", 1)[0].split("-"))
            yield first, last
