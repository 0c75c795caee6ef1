"""BPE with byte fallback in tokenizer.json (how Llama 2 and its kin are saved) -> token table of GGUF model "llama"."""

from __future__ import annotations

import re
from typing import Any

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.tokenizer.added import added_token_row, padded_size, padding_tokens
from edgellm_converters.tokenizer.files import take
from edgellm_converters.tokenizer.normalizer import Normalizer
from edgellm_converters.tokenizer.pretokenizer import describe, steps_of
from edgellm_converters.tokenizer.tokenizer_json import TokenizerJson
from edgellm_converters.tokenizer.vocabulary import ADDED_SCORE, PADDING_SCORE, SpacePrefix, TokenTable, TokenType

__all__ = ["byte_fallback_table", "require_byte_tokens", "space_prefix_of"]

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_SPACE = "\u2581"
_SCHEMES: dict[str, SpacePrefix] = {"always": "every text", "first": "start only", "never": "never"}


def byte_fallback_table(tokenizer: TokenizerJson, config: dict[str, object]) -> tuple[TokenTable, list[str]]:
    """Token table, padded to the model's vocabulary size, and notes about added tokens that were left out.

    llama.cpp joins the neighbours whose joined token has the highest score; a merge list joins those of the lowest
    rank. So the score of a token is minus the rank of the first merge that makes it: SentencePiece numbers its own
    scores in the same way. (llama.cpp's converter gives every token -1000 here, which splits words wrongly.)
    """
    model = tokenizer.model
    n_ids = 1 + max(max(model.vocab.values()), max((token.id for token in tokenizer.added), default=0))
    size = padded_size(config, n_ids)
    added_ids = {token.id for token in tokenizer.added}
    score_of: dict[str, float] = {}
    for rank, (left, right) in enumerate(model.merges):
        score_of.setdefault(left + right, -float(rank))
    last = -float(len(model.merges))
    padding = padding_tokens(size, [*model.vocab, *(token.content for token in tokenizer.added)])
    tokens, types, scores = padding, [int(TokenType.UNUSED)] * size, [PADDING_SCORE] * size
    for token, token_id in model.vocab.items():
        if token_id in added_ids:
            continue
        if token_id >= size:
            raise CheckpointError(
                f"the tokenizer has the token {token_id} ({token!r}), the model {size} (vocab_size in config.json)",
                hint="this tokenizer is not the one that the model was trained with",
            )
        tokens[token_id] = token
        types[token_id] = TokenType.BYTE if _BYTE.fullmatch(token) else TokenType.NORMAL
        scores[token_id] = score_of.get(token, last)
    notes = []
    for added in tokenizer.added:
        if added.id >= size:
            notes.append(f"the added token {added.content!r} ({added.id}) is left out: the model has {size} tokens")
            continue
        tokens[added.id], types[added.id] = added_token_row(added.content, special=added.special)
        scores[added.id] = ADDED_SCORE
    require_byte_tokens(tokens)
    return TokenTable(model="llama", pre="default", tokens=tokens, types=types, scores=scores), notes


def require_byte_tokens(tokens: list[str]) -> None:
    """Raise UnsupportedError unless every byte has its token: llama.cpp would end the process at an unknown byte."""
    known = set(tokens)
    missing = [byte for byte in range(256) if f"<0x{byte:02X}>" not in known]
    if missing:
        raise UnsupportedError(
            f"the vocabulary has no byte fallback: {len(missing)} of the 256 byte tokens <0x00> to <0xFF> are missing",
            hint="llama.cpp cannot encode text outside such a vocabulary",
        )


def space_prefix_of(normalizer: Normalizer, pre_tokenizer: object) -> SpacePrefix:
    """Where a Llama-style tokenizer.json puts a space before text.

    Raises UnsupportedError for pre-tokenizers that llama.cpp's SentencePiece mode does not follow.
    """
    prefix: SpacePrefix = "every text" if normalizer.prepends_space else "never"
    if pre_tokenizer is None:
        return prefix
    if isinstance(pre_tokenizer, dict) and pre_tokenizer.get("type") == "Metaspace":
        return _metaspace(pre_tokenizer, prefix)
    steps = steps_of(pre_tokenizer)
    if steps == (("split text", " ", "MergedWithPrevious", "False"),):
        return prefix  # splits at spaces that the normalizer has already replaced: nothing is left to split
    raise UnsupportedError(
        f"llama.cpp's SentencePiece mode has no pre-tokenizer of this structure: {describe(steps)}",
        hint="known structures: none, Metaspace",
    )


def _metaspace(section: dict[str, Any], prefix: SpacePrefix) -> SpacePrefix:
    where = "the pre_tokenizer of tokenizer.json"
    if take(section, "replacement", str, where, _SPACE) != _SPACE:
        raise UnsupportedError("the tokenizer writes spaces as something other than U+2581", hint="llama.cpp cannot")
    scheme = section.get("prepend_scheme")
    if scheme is None:  # files of before tokenizers 0.15
        scheme = "always" if take(section, "add_prefix_space", bool, where, True) else "never"
    if scheme not in _SCHEMES:
        raise CheckpointError(f"prepend_scheme in {where} is {scheme!r:.40}", hint="fetch the file again")
    return prefix if prefix == "every text" else _SCHEMES[scheme]
