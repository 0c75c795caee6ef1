"""SentencePiece BPE (tokenizer.model) -> token table of GGUF model "llama"."""

from __future__ import annotations

from typing import Any

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.tokenizer.added import added_token_row, padded_size, padding_tokens
from edgellm_converters.tokenizer.byte_fallback import require_byte_tokens
from edgellm_converters.tokenizer.files import TokenizerFiles, take
from edgellm_converters.tokenizer.sentencepiece_model import SentencePieceModel
from edgellm_converters.tokenizer.tokenizer_json import AddedToken
from edgellm_converters.tokenizer.vocabulary import (
    ADDED_SCORE,
    PADDING_SCORE,
    TOKENS_LIMIT,
    Normalization,
    TokenTable,
    TokenType,
)

__all__ = ["added_tokens_of", "require_supported", "spm_normalization", "spm_table"]


def require_supported(model: SentencePieceModel) -> None:
    """Raise UnsupportedError for SentencePiece models that llama.cpp's greedy merging does not reproduce."""
    if model.model_type != "BPE":
        raise UnsupportedError(
            f"tokenizer.model is a SentencePiece {model.model_type} model; edgellm packs SentencePiece BPE models",
            hint="Unigram vocabularies belong to model families that edgellm does not pack",
        )
    if model.space_is_suffix or model.removes_extra_spaces:
        what = "puts spaces after words" if model.space_is_suffix else "removes repeated spaces"
        raise UnsupportedError(
            f"tokenizer.model {what}, which llama.cpp does not", hint="the model cannot be run by llama.cpp"
        )


def spm_normalization(model: SentencePieceModel) -> Normalization | None:
    """The Unicode form that the model brings text into. Raises UnsupportedError for its own character maps."""
    if not model.has_character_map:
        return None
    if model.normalizer == "nfkc":
        return "NFKC"
    raise UnsupportedError(
        f"tokenizer.model normalizes text with its own character map ({model.normalizer!r:.40}); llama.cpp does not",
        hint="the model cannot be run by llama.cpp with the same tokens",
    )


def spm_table(
    model: SentencePieceModel, added: tuple[AddedToken, ...], config: dict[str, object]
) -> tuple[TokenTable, list[str]]:
    """Token table, padded to the model's vocabulary size, and notes about what was left out.

    Pieces that the model declares user-defined keep that type (llama.cpp's converter makes them normal ones, and then
    splits them). Raises UnsupportedError without byte fallback.
    """
    n_ids = max(len(model.pieces), 1 + max((token.id for token in added), default=0))
    size = padded_size(config, n_ids)
    tokens = padding_tokens(size, [*(piece.text for piece in model.pieces), *(token.content for token in added)])
    types, scores = [int(TokenType.UNUSED)] * size, [PADDING_SCORE] * size
    notes = []
    if len(model.pieces) > size:
        raise CheckpointError(
            f"tokenizer.model has {len(model.pieces)} tokens, the model only {size} (vocab_size in config.json)",
            hint="this tokenizer is not the one that the model was trained with",
        )
    for token_id, piece in enumerate(model.pieces):
        user_defined = piece.type == TokenType.USER_DEFINED
        tokens[token_id] = piece.text.replace("\u2581", " ") if user_defined else piece.text
        types[token_id], scores[token_id] = piece.type, piece.score
    for token in added:
        if token.id >= size:
            notes.append(f"the added token {token.content!r} ({token.id}) is left out: the model has {size} tokens")
            continue
        tokens[token.id], types[token.id] = added_token_row(token.content, special=token.special)
        scores[token.id] = ADDED_SCORE
    require_byte_tokens(tokens)
    return TokenTable(model="llama", pre="default", tokens=tokens, types=types, scores=scores), notes


def added_tokens_of(files: TokenizerFiles) -> tuple[AddedToken, ...]:
    """Added tokens of added_tokens.json and tokenizer_config.json; the second knows which are special and wins."""
    added: dict[int, AddedToken] = {}
    for content, token_id in files.added_tokens.items():
        number = _id(token_id, content, "added_tokens.json")
        added[number] = AddedToken(number, content, special=False, strips=False)
    decoder = take(files.config, "added_tokens_decoder", dict, "tokenizer_config.json", {})
    for key, entry in decoder.items():
        where = "added_tokens_decoder of tokenizer_config.json"
        if not isinstance(entry, dict) or not str(key).isdecimal():
            raise CheckpointError(f"{where} has a malformed entry {key!r:.40}", hint="fetch the file again")
        content = take(entry, "content", str, where)
        number = _id(int(str(key)[:20]), content, where)
        added[number] = AddedToken(
            number,
            content,
            special=take(entry, "special", bool, where, False),
            strips=any(take(entry, flag, bool, where, False) for flag in ("lstrip", "rstrip", "single_word")),
        )
    return tuple(added[number] for number in sorted(added))


def _id(token_id: Any, content: str, where: str) -> int:
    if not isinstance(token_id, int) or isinstance(token_id, bool) or not 0 <= token_id < TOKENS_LIMIT or not content:
        raise CheckpointError(
            f"{where} gives {content!r:.40} the id {str(token_id)[:40]}, which is no token id", hint="fetch it again"
        )
    return token_id
