"""Weights and cache in pages of 2 MiB where the system gives them to who asks (Linux, transparent_hugepage/enabled).

Every step reads all weights once. In pages of 4 KiB the processor looks up an address for each of them, and its
prefetchers stop at their ends; llama.cpp does not ask for larger ones.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["HugePages"]

_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPS, _SMAPS = Path("/proc/self/maps"), Path("/proc/self/smaps")
_SMALLEST_BYTES = 4 << 20  # of a buffer: two large pages or more lie in it
_FULL = 0.9  # of a buffer that was written to
_COLLAPSE = 25  # MADV_COLLAPSE, Linux 6.1; older ones do the same in the background, within minutes
_LINE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *$", re.MULTILINE)  # anonymous, private, no name
_RESIDENT = re.compile(r"^Rss: +(\d+) kB$", re.MULTILINE)


class _Range(NamedTuple):
    start: int
    end: int
    resident_bytes: int


class HugePages:
    """The large buffers that appear after this was made. None of its methods fails: what it asks for is a favour."""

    def __init__(self) -> None:
        self._is_on = sys.platform == "linux" and hasattr(mmap, "MADV_HUGEPAGE") and _are_given()
        self._before = _ranges(_MAPS) if self._is_on else []

    def ask(self) -> None:
        """For buffers that are not written to yet."""
        if self._is_on:
            for start, end, _resident in self._new(_MAPS):
                self._advise(start, end, mmap.MADV_HUGEPAGE)

    def collect(self) -> None:
        """For buffers that were filled already. Those that are used in parts stay as they are: they would grow."""
        if self._is_on:
            for start, end, resident_bytes in self._new(_SMAPS):
                if resident_bytes >= _FULL * (end - start) and self._advise(start, end, mmap.MADV_HUGEPAGE):
                    self._advise(start, end, _COLLAPSE)

    def _new(self, source: Path) -> list[_Range]:
        """What is there now and was not before; the kernel joins neighbours."""
        found = []
        for start, end, resident_bytes in _ranges(source):
            for known in self._before:
                if known.start <= start < known.end:
                    start = known.end
                elif known.start < end <= known.end:
                    end = known.start
            if end - start >= _SMALLEST_BYTES:
                found.append(_Range(start, end, min(resident_bytes, end - start)))
        return found

    def _advise(self, start: int, end: int, advice: int) -> bool:
        madvise = ctypes.CDLL(None).madvise
        return bool(madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), ctypes.c_int(advice)) == 0)


def _are_given() -> bool:
    try:
        return "[never]" not in _SETTING.read_text(encoding="ascii")
    except OSError:
        return False


def _ranges(source: Path) -> list[_Range]:
    """The anonymous mappings of this process; how much of each is resident where ``source`` tells it."""
    try:
        text = source.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = []
    for line in _LINE.finditer(text):
        resident = _RESIDENT.search(text, line.end(), line.end() + 200) if source == _SMAPS else None
        found.append(_Range(int(line[1], 16), int(line[2], 16), int(resident[1]) * 1024 if resident else 0))
    return found
