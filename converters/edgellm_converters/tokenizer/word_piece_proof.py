"""Proof that our WordPiece, which reads texts for GGUF files, gives the token ids that an encoder was trained with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgellm.errors import UnsupportedError
from edgellm.formats.wordpiece import WordPiece
from edgellm_converters.tokenizer.corpus import CORPUS, Text
from edgellm_converters.tokenizer.difference import describe_difference
from edgellm_converters.tokenizer.llama_vocab import LlamaVocab
from edgellm_converters.tokenizer.reference import Reference
from edgellm_converters.tokenizer.vocabulary import TokenType, Vocabulary

__all__ = ["prove_word_piece", "word_piece_of"]


def word_piece_of(vocabulary: Vocabulary) -> WordPiece:
    """The tokenizer that runs on the device."""
    rules = vocabulary.word_piece
    assert rules is not None
    table = vocabulary.table
    special = [number for number, kind in enumerate(table.types) if kind == TokenType.CONTROL]
    return WordPiece(
        table.tokens,
        special,
        vocabulary.special.ids["unk"],
        lowercase=rules.lowercase,
        strip_accents=rules.strip_accents,
    )


def prove_word_piece(
    vocabulary: Vocabulary, reference: Reference, texts: Iterable[Text], path: Path
) -> tuple[int, int, tuple[str, ...]]:
    """The number of texts and tokens compared, and what other programs do otherwise with the GGUF at ``path``.

    Raises UnsupportedError that shows the first difference, or says why llama.cpp does not load the vocabulary.
    """
    ours = word_piece_of(vocabulary)
    n_texts = n_tokens = 0
    for text in texts:
        expected = reference.encode(text.text)
        found = ours.encode(text.text, parse_special=True)
        if found != expected:
            raise _mismatch(vocabulary, reference, text, expected, found)
        n_texts, n_tokens = n_texts + 1, n_tokens + len(expected)
    _prove_around(vocabulary, reference, ours)
    with LlamaVocab(path) as llama:
        if llama.n_tokens != vocabulary.n_tokens:
            raise UnsupportedError(
                f"llama.cpp counts {llama.n_tokens} tokens in {path}, the checkpoint has {vocabulary.n_tokens}",
                hint="the file was not made from this checkpoint",
            )
        differs = next((text for text in CORPUS if llama.tokenize(text.text) != reference.encode(text.text)), None)
    if differs is None:
        return n_texts, n_tokens, ()
    note = (
        f"llama.cpp's own tokenizer splits some texts ({differs.kind}) in another way than the model's: edgellm reads "
        "them as the model does; other programs get other tokens there"
    )
    return n_texts, n_tokens, (note,)


def _prove_around(vocabulary: Vocabulary, reference: Reference, ours: WordPiece) -> None:
    """What stands before and after every text."""
    ids = vocabulary.special.ids
    for text in (Text("text with its special tokens", "Hello world."), Text("text with its special tokens", "")):
        found = [ids["bos"], *ours.encode(text.text, parse_special=True), ids["sep"]]
        expected = reference.encode(text.text, add_special=True)
        if reference.adds_special and found != expected:
            raise _mismatch(vocabulary, reference, text, expected, found)


def _mismatch(
    vocabulary: Vocabulary, reference: Reference, text: Text, expected: list[int], found: list[int]
) -> UnsupportedError:
    return UnsupportedError(
        f"edgellm would split text differently from the model's own tokenizer ({reference.name}):\n"
        + describe_difference(text, vocabulary.table.tokens, expected, found, reader="edgellm"),
        hint="a model that sees other tokens than it was trained with gives worse vectors, so it is not packed as "
        "GGUF; --format onnx brings the model's own tokenizer along",
    )
