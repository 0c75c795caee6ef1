"""Large buffers ask for large pages, whatever lies beside them; what is used in parts does not."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgellm_runtimes.llama_cpp import huge_pages
from edgellm_runtimes.llama_cpp.huge_pages import HugePages
from large_pages import asking_mappings, needs_large_pages

pytestmark = needs_large_pages
SIZE = 12 << 20


@contextmanager
def buffer(size: int = SIZE) -> Iterator[mmap.mmap]:
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    yield memory
    memory.close()


def asked_bytes(memory: mmap.mmap) -> int:
    """How much of ``memory`` lies in mappings that asked for large pages."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return sum(max(0, min(last, start + len(memory)) - max(first, start)) for first, last in asking_mappings())


def test_an_empty_buffer_asks_and_one_from_before_does_not() -> None:
    with buffer() as old:
        pages = HugePages()
        with buffer() as new:  # the kernel makes one mapping of neighbours
            pages.ask()
            assert asked_bytes(new) == SIZE
            assert asked_bytes(old) == 0


def test_a_small_buffer_does_not_ask() -> None:
    before = HugePages()
    with buffer(1 << 20) as small:
        before.ask()
        assert asked_bytes(small) == 0


def test_a_full_buffer_is_collected_as_it_is() -> None:
    pages = HugePages()
    with buffer() as full:
        full.write(b"\x5a" * SIZE)
        pages.collect()
        assert asked_bytes(full) == SIZE
        assert full[:] == b"\x5a" * SIZE


def test_a_buffer_that_is_used_in_parts_stays_small() -> None:
    pages = HugePages()
    with buffer(64 * SIZE) as sparse:  # far from full also where the kernel joins it with a neighbour
        sparse.write(b"x" * (SIZE // 2))
        pages.collect()
        assert asked_bytes(sparse) == 0


@pytest.mark.parametrize("found", ["always madvise [never]", None])
def test_a_system_without_large_pages_is_left_alone(
    found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "enabled"
    if found is not None:
        setting.write_text(found)
    monkeypatch.setattr(huge_pages, "_SETTING", setting)
    pages = HugePages()
    with buffer() as new:
        pages.ask()
        pages.collect()
        assert asked_bytes(new) == 0
