"""Byte-level BPE of tokenizer.json (GPT-2 and what came of it) -> token table of GGUF model "gpt2"."""

from __future__ import annotations

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.formats.byte_level import byte_of_character
from edgellm_converters.tokenizer.added import added_token_row, padded_size, padding_tokens
from edgellm_converters.tokenizer.pretokenizer import PreTokenizer
from edgellm_converters.tokenizer.tokenizer_json import TokenizerJson
from edgellm_converters.tokenizer.vocabulary import TokenTable, TokenType

__all__ = ["byte_level_table", "token_bytes"]


def byte_level_table(
    tokenizer: TokenizerJson, pre: PreTokenizer, config: dict[str, object]
) -> tuple[TokenTable, list[str]]:
    """Token table, padded to the model's vocabulary size, and notes about added tokens that were left out.

    Raises CheckpointError when a token of the vocabulary has no row in the embedding.
    """
    vocab = tokenizer.model.vocab
    if not tokenizer.model.merges:
        raise UnsupportedError(
            "the tokenizer has no merges; llama.cpp needs them for byte-level BPE",
            hint="fetch tokenizer.json again, or save it once with a newer version of transformers",
        )
    n_ids = 1 + max(max(vocab.values()), max((token.id for token in tokenizer.added), default=0))
    size = padded_size(config, n_ids)
    added_ids = {token.id for token in tokenizer.added}
    rows = {token_id: (token, TokenType.NORMAL) for token, token_id in vocab.items() if token_id not in added_ids}
    for token_id, (text, _) in rows.items():
        if token_id >= size:
            raise CheckpointError(
                f"the tokenizer has the token {token_id} ({text!r}), the model only {size} (vocab_size in config.json)",
                hint="this tokenizer is not the one that the model was trained with",
            )
    notes = []
    for token in tokenizer.added:
        if token.id < size:
            rows[token.id] = added_token_row(token.content, special=token.special)
        else:
            notes.append(f"the added token {token.content!r} ({token.id}) is left out: the model has {size} tokens")
    padding = padding_tokens(size, (text for text, _ in rows.values()))
    filled = [rows.get(token_id, (padding[token_id], TokenType.UNUSED)) for token_id in range(size)]
    table = TokenTable(
        model="gpt2",
        pre=pre.name,
        tokens=[text for text, _ in filled],
        types=[int(kind) for _, kind in filled],
        # GGUF writes a merge as one string, so a space inside a half is written as byte-level BPE writes it.
        merges=[f"{left} {right}" for left, right in _without_spaces(tokenizer.model.merges)],
    )
    return table, notes


def _without_spaces(merges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(left.replace(" ", "Ġ"), right.replace(" ", "Ġ")) for left, right in merges]


def token_bytes(token: str) -> bytes | None:
    """The bytes that a token of the vocabulary stands for; None when it is not written in the byte alphabet."""
    alphabet = byte_of_character()
    try:
        return bytes(alphabet[character] for character in token)
    except KeyError:
        return None
