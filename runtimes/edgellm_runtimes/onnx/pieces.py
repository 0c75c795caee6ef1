"""From the way tokenizer.json writes a token to the bytes that it adds to a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from edgellm.errors import ModelFileError, UnsupportedError
from edgellm.formats.byte_level import byte_of_character

__all__ = ["piece_bytes"]

_SPACE = "\u2581"  # SentencePiece's sign for a space
_INSIDE = "##"  # of a piece that does not begin a word
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class _Model(msgspec.Struct):
    type: str = "BPE"
    byte_fallback: bool = False


class _File(msgspec.Struct):
    model: _Model
    decoder: dict[str, Any] | None = None


def piece_bytes(data: bytes) -> Callable[[str], bytes]:
    """The function for the tokenizer.json ``data``. Raises ModelFileError, UnsupportedError."""
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelFileError(f"tokenizer.json is not valid: {error}", hint="pack the model again") from error
    kinds = set(_kinds(file.decoder))
    if "ByteLevel" in kinds:
        return _byte_level
    if kinds & {"Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"} or file.model.byte_fallback:
        return _sentencepiece
    if "WordPiece" in kinds:
        return _word_piece
    raise UnsupportedError(f"tokenizer.json decodes tokens by {', '.join(sorted(kinds)) or 'nothing'}, unknown here")


def _kinds(decoder: dict[str, Any] | None) -> list[str]:
    if decoder is None:
        return []
    parts = decoder.get("decoders", [decoder])
    return [str(part.get("type")) for part in parts if isinstance(part, dict)]


def _sentencepiece(text: str) -> bytes:
    byte = _BYTE.fullmatch(text)
    return bytes([int(byte[1], 16)]) if byte else text.replace(_SPACE, " ").encode("utf-8")


def _word_piece(text: str) -> bytes:
    return (text[2:] if text.startswith(_INSIDE) else f" {text}").encode("utf-8")


def _byte_level(text: str) -> bytes:
    table = byte_of_character()
    if all(character in table for character in text):
        return bytes(table[character] for character in text)
    return text.encode("utf-8")
