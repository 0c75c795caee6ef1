"""Texts as a terminal may show them: what others wrote must not steer it, and moments as people say them."""

from __future__ import annotations

import time
from typing import Literal

__all__ = ["NOBODY_KNOWS", "Tone", "moment", "one_line", "shortened"]

Tone = Literal["plain", "good", "busy", "warning", "bad", "quiet"]
NOBODY_KNOWS = "n/a"
_DAY_S = 86400


def one_line(text: str) -> str:
    """``text`` on one line: line ends become spaces, other control characters are written as escapes."""
    if text.isprintable():
        return text
    plain = " ".join(text.splitlines()).replace("\t", " ")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in plain)


def shortened(text: str, length: int) -> str:
    """``text``, its middle left out where it is longer than ``length``: names differ at both ends."""
    if len(text) <= length:
        return text
    if length < 4:
        return text[:length]
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"


def moment(then_s: float, now_s: float) -> str:
    """A moment in local time (both in seconds since the epoch): ``14:05``, with its day where it is not today."""
    then, now = time.localtime(then_s), time.localtime(now_s)
    if then[:3] == now[:3]:
        return time.strftime("%H:%M", then)
    if abs(now_s - then_s) < 300 * _DAY_S:
        return time.strftime("%d %b %H:%M", then)
    return time.strftime("%d %b %Y", then)
