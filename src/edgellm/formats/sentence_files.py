"""The files that sentence-transformers writes beside a model."""

from __future__ import annotations

import re

__all__ = ["is_sentence_file"]

_SENTENCE_FILE = re.compile(
    r"modules\.json|(sentence_bert_config|config_sentence_transformers)\.json|\d{1,3}_[A-Za-z]{1,40}/config\.json"
)


def is_sentence_file(path: str) -> bool:
    """True for what sentence-transformers says beside a model: its modules, where it cuts texts, how it pools. Those of
    a module are in a folder of its own: no other path has a folder in it, and none more than one."""
    return _SENTENCE_FILE.fullmatch(path) is not None
