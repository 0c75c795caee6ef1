"""Prefixes on disk: the KV cache of a system prompt or a conversation, kept across restarts.

A cache that may be lost at any time: what does not match, is torn or was tampered with is removed and never used.
"""

from __future__ import annotations

from edgellm_runtimes.kv_store.entry import OpenPrefix, PrefixMatch, StoredPrefix
from edgellm_runtimes.kv_store.folder import PrefixFolder, Removed
from edgellm_runtimes.kv_store.key import AdapterKey, PrefixKey, PrefixKind
from edgellm_runtimes.kv_store.statistics import PrefixStatistics
from edgellm_runtimes.kv_store.store import PrefixStore

__all__ = [
    "AdapterKey",
    "OpenPrefix",
    "PrefixFolder",
    "PrefixKey",
    "PrefixKind",
    "PrefixMatch",
    "PrefixStatistics",
    "PrefixStore",
    "Removed",
    "StoredPrefix",
]
