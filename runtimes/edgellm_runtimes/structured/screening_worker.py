"""The helper that tries grammars out: `python -m edgellm_runtimes.structured.screening_worker`.

Request: kind, text, timeout_s, cpu_s. Answer: {"grammar": ...} as llguidance takes it, or {"error": ...}.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import gbnf_to_lark

from edgellm_runtimes.grammar import JSON_WHITESPACE
from edgellm_runtimes.helper_child import serve_requests
from edgellm_runtimes.structured.library import is_panic, parser_limits
from edgellm_runtimes.structured.screening import SCREENING_STACK_BYTES

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

__all__ = ["main"]

_MEMORY_BYTES = 64 * 2**20  # for one grammar
_UNKNOWN_SIZE_BYTES = 512 * 2**20
_LONG_ESCAPES = re.compile(r"\\\\|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})")
_NO_CHARACTER = 0x110000
_JSON_OPTIONS: JsonCompileOptions = {"whitespace_pattern": JSON_WHITESPACE}


class _RefusedError(Exception):
    """The text is no grammar of its kind."""


def screen(kind: str, text: str) -> dict[str, str]:
    """The answer to one request."""
    try:
        grammar = _convert(kind, text)
        limits = parser_limits()
        failed, messages = LLMatcher.validate_grammar_with_warnings(grammar, None, limits=limits)
        if failed:
            return {"error": messages[0]}
        # Control tokens that it names are unknown here: only what ends the process counts, and the first step's work.
        matcher = LLMatcher(_bytes_tokenizer(), grammar, log_level=0, limits=limits)
        if not matcher.is_error():
            matcher.compute_bitmask()
    except _RefusedError as error:
        return {"error": str(error)}
    except BaseException as error:
        if not is_panic(error):
            raise
        return {"error": f"llguidance failed on it: {error}"}
    return {"grammar": grammar}


@functools.cache
def _bytes_tokenizer() -> LLTokenizer:
    return LLTokenizer("byte")


def _convert(kind: str, text: str) -> str:
    """One grammar of ``kind``, and nothing besides, in llguidance's own format."""
    if kind == "json_schema":
        return _json_grammar(text)
    if kind == "regex":
        return LLMatcher.grammar_from_regex(text)
    if kind == "gbnf":
        try:
            text = gbnf_to_lark(_LONG_ESCAPES.sub(_short_escape, text))
        except RecursionError:
            raise _RefusedError("it is nested too deeply") from None
        except Exception as error:  # noqa: BLE001  the converter raises plain exceptions
            raise _RefusedError(str(error) or type(error).__name__) from None
    return json.dumps({"grammars": [{"lark_grammar": text}]})


def _short_escape(match: re.Match[str]) -> str:
    """The converter loses the zeros that ``\\u00e9`` begins with."""
    digits = match[1] or match[2]
    code = int(digits, 16) if digits else _NO_CHARACTER
    if 0xD800 <= code < 0xE000 or code >= _NO_CHARACTER:
        return match[0]
    return f"\\x{code:02x}" if code < 0x80 else chr(code)


def _json_grammar(text: str) -> str:
    try:
        value = json.loads(text)
        if not isinstance(value, dict) and value is not True:
            raise _RefusedError("a schema is an object, or true for any value")
        options = None if value is not True and "x-guidance" in value else _JSON_OPTIONS
        return LLMatcher.grammar_from_json_schema("{}" if value is True else text, defaults=options)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(f"it is no JSON: {error}") from None


def _answer(request: dict[str, Any]) -> dict[str, str]:
    return screen(request["kind"], request["text"])


def _address_space_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return _UNKNOWN_SIZE_BYTES


def main() -> None:
    """Serve requests until stdin ends or nothing was asked for a minute."""
    _bytes_tokenizer()
    with contextlib.suppress(OSError, ValueError):  # Linux grows the stack of the main thread up to this
        resource.setrlimit(resource.RLIMIT_STACK, (SCREENING_STACK_BYTES, SCREENING_STACK_BYTES))
    serve_requests(_answer, _address_space_bytes() + _MEMORY_BYTES, forks=True)


if __name__ == "__main__":
    main()
