"""What a prefix store did since it was opened."""

from __future__ import annotations

import msgspec

__all__ = ["PrefixStatistics"]


class PrefixStatistics(msgspec.Struct):
    """Counts since the store was opened, and what it can reuse now."""

    entries: int = 0  # prefixes of this model and these settings
    entries_bytes: int = 0
    opened: int = 0  # states that were read and found whole
    opened_tokens: int = 0
    saved: int = 0
    saved_bytes: int = 0
    present: int = 0  # saves that were not needed
    over_cap: int = 0  # saves skipped: larger than the whole cache may be
    over_daily_cap: int = 0  # saves skipped: enough was written today
    busy: int = 0  # saves skipped: the disk is still writing the ones before
    failed: int = 0  # saves that the disk refused
    rejected: int = 0  # files that were torn, damaged or not what their name says
