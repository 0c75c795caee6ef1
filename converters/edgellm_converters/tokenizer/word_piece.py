"""WordPiece of tokenizer.json (BERT and its kin) -> token table of GGUF model "bert"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.formats.wordpiece import LONGEST_WORD, WORD_START
from edgellm_converters.tokenizer.added import padded_size, padding_tokens
from edgellm_converters.tokenizer.files import TokenizerFiles, take
from edgellm_converters.tokenizer.metadata import tokenizer_metadata
from edgellm_converters.tokenizer.pretokenizer import describe, steps_of
from edgellm_converters.tokenizer.special import special_tokens
from edgellm_converters.tokenizer.tokenizer_json import AddedToken, parse_added, parse_vocab
from edgellm_converters.tokenizer.vocabulary import (
    ChatTemplates,
    MetadataEntry,
    TokenTable,
    TokenType,
    Vocabulary,
    WordPieceRules,
)

__all__ = ["is_word_piece", "word_piece_vocabulary"]

_WHERE = "tokenizer.json"
_INSIDE = "##"
_PRE = "jina-v2-en"  # what llama.cpp's converter calls the vocabulary of uncased BERT; nothing depends on it
_CLS_KEY = "tokenizer.ggml.cls_token_id"  # nobody reads it: the token before a text is bos


@dataclass(frozen=True)
class _Model:
    vocab: dict[str, int]
    unknown: int


def is_word_piece(files: TokenizerFiles) -> bool:
    """True where tokenizer.json has a WordPiece model."""
    model = (files.tokenizer or {}).get("model")
    if not isinstance(model, dict):
        return False
    return model.get("type") == "WordPiece" or ("type" not in model and "max_input_chars_per_word" in model)


def word_piece_vocabulary(files: TokenizerFiles, config: dict[str, object], *, lowercase_before: bool) -> Vocabulary:
    """The vocabulary in ``files``; with ``lowercase_before`` sentence-transformers lowers the text itself.

    Raises CheckpointError for files that are torn or lying, UnsupportedError for rules that our tokenizer for GGUF
    files does not follow.
    """
    raw = files.tokenizer
    assert raw is not None
    rules = _rules(raw, lowercase_before=lowercase_before)
    model = _model(take(raw, "model", dict, _WHERE))
    added = parse_added(take(raw, "added_tokens", list, _WHERE, []), model.vocab)
    table = _table(model.vocab, added, config)
    special, notes = special_tokens(files, raw.get("post_processor"), config, table, {"unk_token_id": model.unknown})
    templates = ChatTemplates(None, {})
    metadata = [
        entry for entry in tokenizer_metadata(table, special, templates, add_space_prefix=None) if entry[0] != _CLS_KEY
    ]
    return Vocabulary(
        table=table,
        special=special,
        templates=templates,
        metadata=[*metadata, *_normalizer_keys(rules)],
        normalization=None,
        space_prefix="never",
        check_all_tokens=False,
        strips_spaces=frozenset(),
        notes=tuple(notes),
        sources=files.sources,
        word_piece=rules,
    )


def _normalizer_keys(rules: WordPieceRules) -> list[MetadataEntry]:
    """Without a key of its own, accents go where capitals do."""
    entries: list[MetadataEntry] = [("tokenizer.ggml.normalizer.lowercase", rules.lowercase, "bool")]
    if rules.strip_accents_given:
        entries.append(("tokenizer.ggml.normalizer.strip_accents", rules.strip_accents, "bool"))
    return entries


def _rules(raw: dict[str, Any], *, lowercase_before: bool) -> WordPieceRules:
    normalizer = raw.get("normalizer")
    if not isinstance(normalizer, dict) or normalizer.get("type") != "BertNormalizer":
        kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
        raise UnsupportedError(
            f"the WordPiece tokenizer normalizes text with {kind!r:.60}", hint="supported: BertNormalizer"
        )
    where = f"the normalizer of {_WHERE}"
    for name in ("clean_text", "handle_chinese_chars"):
        if not take(normalizer, name, bool, where, True):
            raise UnsupportedError(f"the tokenizer has {name} off, which is not supported")
    lowercase = take(normalizer, "lowercase", bool, where, True)
    strip = normalizer.get("strip_accents")
    if lowercase_before and not lowercase:
        raise UnsupportedError(
            "sentence_bert_config.json lowers the text before a tokenizer that keeps capitals", hint="not supported"
        )
    steps = steps_of(raw.get("pre_tokenizer"))
    if [step[0] for step in steps] != ["BertPreTokenizer"]:
        raise UnsupportedError(
            f"the WordPiece tokenizer has a pre-tokenizer of this structure: {describe(steps)}",
            hint="supported: BertPreTokenizer",
        )
    strip_accents = take(normalizer, "strip_accents", bool, where) if strip is not None else lowercase
    return WordPieceRules(lowercase, strip_accents, strip_accents_given=strip is not None)


def _model(model: dict[str, Any]) -> _Model:
    vocab = parse_vocab(take(model, "vocab", dict, _WHERE))
    prefix = take(model, "continuing_subword_prefix", str, _WHERE, _INSIDE)
    longest = take(model, "max_input_chars_per_word", int, _WHERE, LONGEST_WORD)
    if prefix != _INSIDE or longest != LONGEST_WORD:
        raise UnsupportedError(
            f"the WordPiece tokenizer begins pieces inside a word with {prefix!r:.20} and takes words of {longest} "
            "characters",
            hint=f"supported: {_INSIDE!r} and {LONGEST_WORD}",
        )
    unknown = take(model, "unk_token", str, _WHERE, "[UNK]")
    if unknown not in vocab:
        raise CheckpointError(
            f"the vocabulary of {_WHERE} lacks {unknown!r:.40}, its own token for what it does not know",
            hint="fetch the tokenizer files again",
        )
    return _Model(vocab, vocab[unknown])


def _table(vocab: dict[str, int], added: tuple[AddedToken, ...], config: dict[str, object]) -> TokenTable:
    """Pieces that begin a word get a mark, those inside one lose theirs: so llama.cpp finds them."""
    n_ids = 1 + max(max(vocab.values()), max((token.id for token in added), default=0))
    size = padded_size(config, n_ids)
    if n_ids > size:
        raise CheckpointError(
            f"the tokenizer has {n_ids} tokens, the model {size} (vocab_size in config.json)",
            hint="this tokenizer is not the one that the model was trained with",
        )
    markers = {token.id: token.content for token in added}
    for token in added:
        if not token.special or token.single_word:
            raise UnsupportedError(
                f"the added token {token.content!r:.60} is not special, or stands between words only",
                hint="supported are special tokens, such as [CLS]",
            )
    padding = padding_tokens(size, [*vocab, *markers.values()])
    rows = [(text, int(TokenType.UNUSED)) for text in padding]
    for text, number in vocab.items():
        rows[number] = (_phantom(text), int(TokenType.NORMAL))
    for number, text in markers.items():
        rows[number] = (text, int(TokenType.CONTROL))
    return TokenTable(model="bert", pre=_PRE, tokens=[text for text, _ in rows], types=[kind for _, kind in rows])


def _phantom(text: str) -> str:
    return text[len(_INSIDE) :] if text.startswith(_INSIDE) else WORD_START + text
