"""Typed reading of config.json and its like: every value is checked before anything is computed from it."""

from __future__ import annotations

from typing import Any

from edgellm.errors import CheckpointError

__all__ = ["Config"]

_INTEGER_LIMIT = 1 << 31
_NUMBER_LIMIT = 1e30
_HINT = "download the checkpoint's config.json again"


class Config:
    """A view of config.json, or of one object inside it; ``where`` is its path for messages, ``hint`` theirs."""

    def __init__(self, values: dict[str, Any], where: str = "config.json", hint: str = _HINT) -> None:
        self._values = values
        self._where = where
        self._hint = hint

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def integer(self, key: str, default: int | None = None, *, minimum: int = 1) -> int:
        """An integer of at least ``minimum``. Raises CheckpointError for anything else, or when it is missing."""
        value = self._values.get(key)
        if value is None:
            value = default
        if type(value) is not int or not minimum <= value < _INTEGER_LIMIT:
            raise self.error(key, f"an integer of at least {minimum}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A positive finite number."""
        value = self._values.get(key)
        if value is None:
            value = default
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < _NUMBER_LIMIT:
            raise self.error(key, "a positive number")
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        value = self._values.get(key)
        if value is None:
            return default
        if type(value) is not bool:
            raise self.error(key, "true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """A string."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(key, "text")
        return value

    def integers(self, key: str) -> list[int] | None:
        """A list of integers, or None when it is missing."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise self.error(key, "a list of integers")
        return value

    def texts(self, key: str) -> list[str] | None:
        """A list of strings, or None when it is missing."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "a list of names")
        return value

    def section(self, key: str) -> Config:
        """The object under ``key``; empty when it is missing."""
        value = self._values.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return Config(value, f"{self._where}: {key}", self._hint)

    def error(self, key: str, wanted: str) -> CheckpointError:
        """The error for the value of ``key``, which is not what was ``wanted``."""
        found = "is missing" if self._values.get(key) is None else f"is {str(self._values[key])[:60]!r}"
        return CheckpointError(f"{key} in {self._where} {found}; it must be {wanted}", hint=self._hint)
