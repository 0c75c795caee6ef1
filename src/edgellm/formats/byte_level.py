"""The alphabet that byte-level BPE writes its tokens in."""

from __future__ import annotations

from functools import cache

__all__ = ["byte_of_character"]


@cache
def byte_of_character() -> dict[str, int]:
    """Byte-level BPE's alphabet: the printable character that stands for each byte.

    Printable Latin-1 characters stand for themselves, the other bytes for U+0100 and up, in order (GPT-2's encoder.py).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
