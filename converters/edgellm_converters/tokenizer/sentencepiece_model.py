"""tokenizer.model, read by a small protobuf reader of our own: every length is checked before it is used.

Fields: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto. The wire format:
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgellm.errors import CheckpointError
from edgellm_converters.tokenizer.vocabulary import TOKENS_LIMIT

__all__ = ["Piece", "SentencePieceModel", "parse_sentencepiece"]

_BPE = 2
_MODEL_TYPES = {1: "Unigram", _BPE: "BPE", 3: "word", 4: "character"}
_PIECE_TYPES = range(1, 7)  # the numbers of TokenType


@dataclass(frozen=True)
class Piece:
    """One piece of the vocabulary; ``type`` has the numbers of TokenType."""

    text: str
    score: float
    type: int


@dataclass(frozen=True)
class SentencePieceModel:
    """What matters of a SentencePiece model. Ids are -1 where the model has no such token."""

    pieces: tuple[Piece, ...]
    model_type: str
    normalizer: str  # "identity" leaves text alone
    has_character_map: bool
    adds_space_prefix: bool
    removes_extra_spaces: bool
    space_is_suffix: bool
    unk_id: int
    bos_id: int
    eos_id: int
    pad_id: int


def parse_sentencepiece(data: bytes, name: str) -> SentencePieceModel:
    """Read a serialized SentencePiece model; ``name`` is its path, for messages.

    Raises CheckpointError when ``data`` is torn or something else.
    """
    try:
        return _model(data)
    except (ValueError, struct.error) as error:
        raise CheckpointError(
            f"{name} is not a SentencePiece model: {error}", hint="the file is torn or something else: fetch it again"
        ) from error


def _model(data: bytes) -> SentencePieceModel:
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in _fields(data):
        if number == 1:
            pieces.append(_piece(_message(value)))
            if len(pieces) > TOKENS_LIMIT:
                raise ValueError("more pieces than any vocabulary has")
        elif number == 2:
            trainer.update(_fields(_message(value)))
        elif number == 3:
            normalizer.update(_fields(_message(value)))
    if not pieces:
        raise ValueError("it has no pieces")
    model_type = _number(trainer, 3, 1)
    return SentencePieceModel(
        pieces=tuple(pieces),
        model_type=_MODEL_TYPES.get(model_type, f"type {model_type}"),
        normalizer=_message(normalizer.get(1, b"")).decode("utf-8"),
        has_character_map=bool(_message(normalizer.get(2, b""))),
        adds_space_prefix=bool(_number(normalizer, 3, 1)),
        removes_extra_spaces=bool(_number(normalizer, 4, 1)),
        space_is_suffix=bool(_number(trainer, 24, 0)),
        unk_id=_number(trainer, 40, 0),
        bos_id=_number(trainer, 41, 1),
        eos_id=_number(trainer, 42, 2),
        pad_id=_number(trainer, 43, -1),
    )


def _piece(data: bytes) -> Piece:
    fields = dict(_fields(data))
    text = _message(fields.get(1, b"")).decode("utf-8")
    raw_score = fields.get(2, 0)
    score = struct.unpack("<f", struct.pack("<I", raw_score))[0] if isinstance(raw_score, int) else None
    kind = _number(fields, 3, 1)
    if score is None or score != score or kind not in _PIECE_TYPES:
        raise ValueError(f"the piece {text!r} has no valid score or type")
    return Piece(text, score, kind)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field number and value of every field: a number (varint, fixed32, fixed64) or bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"no such protobuf field at byte {position}")
        if size > len(data) - position:
            raise ValueError(f"a field at byte {position} is longer than the file")
        part = data[position : position + size]
        position += size
        yield number, part if wire == 2 else int.from_bytes(part, "little")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if position + place >= len(data):
            raise ValueError("it ends inside a number")
        byte = data[position + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, position + place + 1
    raise ValueError(f"a number at byte {position} has no end")


def _message(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("a field has the wrong type")


def _number(fields: dict[int, int | bytes], number: int, default: int) -> int:
    value = fields.get(number, default)
    if not isinstance(value, int):
        raise ValueError(f"field {number} has the wrong type")
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
