"""llguidance, which may be missing, and what it may spend on one grammar."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from edgellm.errors import UnsupportedError

if TYPE_CHECKING:
    from llguidance import LLParserLimits

__all__ = ["is_panic", "load_llguidance", "parser_limits", "short_reason"]

_INITIAL_FUEL = 500_000  # of llguidance's 1,000,000: an enum of 20,000 words takes less
_LEXER_STATES = 50_000  # of 250,000; 1 to 2 kB each, kept for as long as the compiled grammar
_LONGEST_REASON = 240  # characters


def load_llguidance() -> ModuleType:
    """The module. Raises UnsupportedError where it cannot be imported."""
    try:
        import llguidance
    except ImportError as error:
        raise UnsupportedError(
            f"structured output needs the package llguidance, which cannot be loaded: {error}",
            hint="pip install 'llguidance>=1.9,<2'; where there is no wheel, pip compiles it and needs Rust",
        ) from error
    return llguidance


def parser_limits() -> LLParserLimits:
    """Limits for one grammar: those of llguidance, but less memory. A step takes tens of milliseconds at most, a run of
    bytes without a choice apart."""
    from llguidance import LLParserLimits

    return LLParserLimits(initial_lexer_fuel=_INITIAL_FUEL, max_lexer_states=_LEXER_STATES, verbose_errors=False)


def is_panic(error: BaseException) -> bool:
    """True for a failed assertion inside llguidance: its class is no Exception and cannot be imported."""
    return type(error).__name__ == "PanicException"


def short_reason(reason: str) -> str:
    """llguidance's error in one line, without the state that it appends; of a long one the two ends."""
    for mark in ("\n<state>", "\n<grammar>", "\n<backtrace>", "\n<non-verbose/>"):
        reason = reason.partition(mark)[0]
    reason = " ".join(reason.split())
    if len(reason) <= _LONGEST_REASON:
        return reason
    return f"{reason[: _LONGEST_REASON // 2]} ... {reason[-_LONGEST_REASON // 2 :]}"
