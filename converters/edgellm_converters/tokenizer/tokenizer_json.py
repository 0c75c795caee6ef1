"""tokenizer.json of the `tokenizers` library, checked: whatever a torn or hostile file could lie about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.tokenizer.files import take
from edgellm_converters.tokenizer.vocabulary import TOKENS_LIMIT

__all__ = ["AddedToken", "BPEModel", "TokenizerJson", "parse_added", "parse_tokenizer_json", "parse_vocab"]

_WHERE = "tokenizer.json"
_DAMAGED = "the file is damaged: fetch it again"


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in the text before the model sees it."""

    id: int
    content: str
    special: bool
    strips: bool  # swallows spaces beside it, or stands only between words
    single_word: bool = False  # stands only between words


@dataclass(frozen=True)
class BPEModel:
    """The ``model`` section: token text -> id, and merges in the order of their rank."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    byte_fallback: bool
    ignore_merges: bool
    unk_token: str | None


@dataclass(frozen=True)
class TokenizerJson:
    """The sections that matter for token ids, still raw where other modules interpret them."""

    model: BPEModel
    added: tuple[AddedToken, ...]
    normalizer: object
    pre_tokenizer: object
    post_processor: object


def parse_tokenizer_json(raw: dict[str, Any]) -> TokenizerJson:
    """Check ``raw`` and take what matters.

    Raises UnsupportedError for models other than BPE, CheckpointError for lies: ids that are no ids, two tokens with
    one id, merges of tokens that do not exist.
    """
    model = take(raw, "model", dict, _WHERE)
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind != "BPE":
        raise UnsupportedError(
            f"the tokenizer is a {kind} model; edgellm packs BPE (byte-level, or with byte fallback), SentencePiece "
            "BPE and, of encoders, WordPiece vocabularies",
            hint="Unigram vocabularies belong to model families that edgellm does not pack",
        )
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(name):
            raise UnsupportedError(
                f"the tokenizer sets {name} to {model[name]!r}, which llama.cpp has no counterpart for",
                hint="train or fetch the tokenizer without it",
            )
    vocab = parse_vocab(take(model, "vocab", dict, _WHERE))
    added = parse_added(take(raw, "added_tokens", list, _WHERE, []), vocab)
    return TokenizerJson(
        model=BPEModel(
            vocab=vocab,
            merges=_merges(take(model, "merges", list, _WHERE, []), vocab),
            byte_fallback=take(model, "byte_fallback", bool, _WHERE, False),
            ignore_merges=take(model, "ignore_merges", bool, _WHERE, False),
            unk_token=take(model, "unk_token", str, _WHERE) if model.get("unk_token") is not None else None,
        ),
        added=added,
        normalizer=raw.get("normalizer"),
        pre_tokenizer=raw.get("pre_tokenizer"),
        post_processor=raw.get("post_processor"),
    )


def parse_vocab(raw: dict[str, Any]) -> dict[str, int]:
    """Token text -> id. Raises CheckpointError for ids that are none, or that two tokens have."""
    if not raw:
        raise CheckpointError("the vocabulary of tokenizer.json is empty", hint=_DAMAGED)
    for token, token_id in raw.items():
        _check_id(token_id, token)
    if len(set(raw.values())) != len(raw):
        owners: dict[int, str] = {}
        for token, token_id in raw.items():
            if token_id in owners:
                raise CheckpointError(
                    f"tokenizer.json gives the id {token_id} to two tokens, {owners[token_id]!r} and {token!r}",
                    hint=_DAMAGED,
                )
            owners[token_id] = token
    return raw


def _check_id(token_id: object, token: str) -> int:
    if not isinstance(token_id, int) or isinstance(token_id, bool) or not 0 <= token_id < TOKENS_LIMIT:
        raise CheckpointError(
            f"tokenizer.json gives the token {token!r} the id {str(token_id)[:40]}, which is no token id", hint=_DAMAGED
        )
    _check_text(token)
    return token_id


def _check_text(token: str) -> None:
    if not token.isascii() and any("\ud800" <= character <= "\udfff" for character in token):
        raise CheckpointError(f"tokenizer.json has the token {token!r}, which is not valid Unicode", hint=_DAMAGED)


def _merges(raw: list[Any], vocab: dict[str, int]) -> list[tuple[str, str]]:
    """Merges as pairs: files of before transformers 4.45 write one string with a space between the two halves."""
    merges = []
    for rank, merge in enumerate(raw):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(half, str) and half for half in pair)):
            raise CheckpointError(
                f"merge {rank} of tokenizer.json is not a pair of tokens: {merge!r:.80}", hint=_DAMAGED
            )
        left, right = pair
        for token in (left, right, left + right):
            if token not in vocab:
                raise CheckpointError(
                    f"merge {rank} of tokenizer.json ({left!r} + {right!r}) names {token!r}, which is not in the "
                    "vocabulary",
                    hint=_DAMAGED,
                )
        merges.append((left, right))
    return merges


def parse_added(raw: list[Any], vocab: dict[str, int]) -> tuple[AddedToken, ...]:
    """The added tokens by id. Raises CheckpointError for entries that lie, or contradict ``vocab``."""
    text_of = {token_id: token for token, token_id in vocab.items()}
    added: dict[int, AddedToken] = {}
    for entry in raw:
        if not isinstance(entry, dict):
            raise CheckpointError("an entry of added_tokens in tokenizer.json is not an object", hint=_DAMAGED)
        content = take(entry, "content", str, "added_tokens of tokenizer.json")
        token_id = _check_id(entry.get("id"), content)
        if not content:
            raise CheckpointError(f"the added token {token_id} of tokenizer.json has no text", hint=_DAMAGED)
        known_as = added[token_id].content if token_id in added else text_of.get(token_id, content)
        if known_as != content or vocab.get(content, token_id) != token_id:
            raise CheckpointError(
                f"tokenizer.json adds {content!r} as token {token_id}, but its vocabulary says otherwise", hint=_DAMAGED
            )
        added[token_id] = AddedToken(
            token_id,
            content,
            special=take(entry, "special", bool, "added_tokens", False),
            strips=any(take(entry, flag, bool, "added_tokens", False) for flag in ("lstrip", "rstrip", "single_word")),
            single_word=take(entry, "single_word", bool, "added_tokens", False),
        )
    return tuple(added[token_id] for token_id in sorted(added))
