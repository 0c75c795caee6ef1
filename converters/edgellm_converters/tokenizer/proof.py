"""Proof that llama.cpp gives the token ids that the model was trained with."""

from __future__ import annotations

import contextlib
import os
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgellm.errors import UnsupportedError
from edgellm.files import os_errors
from edgellm_converters.tokenizer.byte_level import token_bytes
from edgellm_converters.tokenizer.corpus import CORPUS, Text
from edgellm_converters.tokenizer.difference import describe_difference
from edgellm_converters.tokenizer.llama_vocab import LlamaVocab
from edgellm_converters.tokenizer.reference import Reference, open_reference
from edgellm_converters.tokenizer.vocab_gguf import write_vocab_gguf
from edgellm_converters.tokenizer.vocabulary import TokenType, Vocabulary
from edgellm_converters.tokenizer.word_piece_proof import prove_word_piece

__all__ = ["ProofResult", "prove"]

_SAMPLED_TOKENS = 2000
_SAMPLED_SPECIAL = 48


@dataclass(frozen=True)
class ProofResult:
    """What was compared. ``limitations``: sentences about where the equality needs the caller's help."""

    reference: str
    n_texts: int
    n_tokens: int
    limitations: tuple[str, ...]


def prove(folder: Path, vocabulary: Vocabulary, gguf_path: Path | None = None) -> ProofResult:
    """Compare llama.cpp's token ids with those of the checkpoint's own tokenizer in ``folder``.

    llama.cpp reads the GGUF at ``gguf_path``, or a temporary one with nothing but ``vocabulary``. Text is handed to
    llama.cpp as a caller has to hand it: in the vocabulary's Unicode normalization, and with a space before it where
    only the start of a text gets one. Raises UnsupportedError that shows the first difference.
    """
    reference = open_reference(folder)
    if gguf_path is not None:
        return _prove(vocabulary, reference, gguf_path)
    with os_errors("write a temporary vocabulary"), _temporary_file() as path:
        write_vocab_gguf(path, vocabulary)
        return _prove(vocabulary, reference, path)


@contextlib.contextmanager
def _temporary_file() -> Iterator[Path]:
    """A file for llama.cpp to read: in memory where the system can, so that nothing is written to the disk."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("vocabulary.gguf")
        try:
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory(prefix="edgellm-") as temporary:
        yield Path(temporary) / "vocabulary.gguf"


def _prove(vocabulary: Vocabulary, reference: Reference, path: Path) -> ProofResult:
    if vocabulary.word_piece is not None:
        n_texts, n_tokens, limitations = prove_word_piece(vocabulary, reference, _texts(vocabulary, reference), path)
        return ProofResult(reference.name, n_texts, n_tokens, limitations)
    with LlamaVocab(path) as llama:
        if llama.n_tokens != vocabulary.n_tokens:
            raise UnsupportedError(
                f"llama.cpp counts {llama.n_tokens} tokens in {path}, the checkpoint has {vocabulary.n_tokens}",
                hint="the file was not made from this checkpoint",
            )
        n_texts = n_tokens = 0
        for text in _texts(vocabulary, reference):
            expected = reference.encode(text.text)
            found = llama.tokenize(_prepared(vocabulary, text.text))
            if found != expected:
                raise _mismatch(vocabulary, reference, text, expected, found)
            n_texts, n_tokens = n_texts + 1, n_tokens + len(expected)
        _prove_around(vocabulary, reference, llama)
        _prove_ends(vocabulary, llama)
        return ProofResult(reference.name, n_texts, n_tokens, _limitations(vocabulary, llama))


def _texts(vocabulary: Vocabulary, reference: Reference) -> Iterator[Text]:
    yield from CORPUS
    yield from _token_texts(vocabulary)
    if reference.finds_special:
        yield from _special_texts(vocabulary)


def _token_texts(vocabulary: Vocabulary) -> Iterator[Text]:
    """The text of the vocabulary's own tokens: every n-th, or all where llama.cpp's merge rule may differ."""
    table = vocabulary.table
    normal = [token_id for token_id, kind in enumerate(table.types) if kind == TokenType.NORMAL]
    step = 1 if vocabulary.check_all_tokens else max(1, len(normal) // _SAMPLED_TOKENS)
    for token_id in normal[::step]:
        token = table.tokens[token_id]
        if table.model in ("llama", "bert"):
            yield Text("token", token.replace("\u2581", " "))
            continue
        raw = token_bytes(token)
        if raw is None:
            continue
        try:
            yield Text("token", raw.decode("utf-8"))
        except UnicodeDecodeError:
            continue  # part of a character: it occurs inside other texts only


def _special_texts(vocabulary: Vocabulary) -> Iterator[Text]:
    tokens = vocabulary.table.tokens
    added = [tokens[token_id] for token_id in _special_ids(vocabulary) if token_id not in vocabulary.strips_spaces]
    step = max(1, len(added) // _SAMPLED_SPECIAL)
    sample = list(dict.fromkeys([*added[:16], *added[::step], *added[-4:]]))
    for token in sample:
        yield Text("special token", token)
        yield Text("special token inside text", f"Hello{token}world\n{token}\n\n{token}{token}")
        yield Text("special token between spaces", f"before {token} after")
    joined = "".join(f"{token}user {number}\nText, 文字 {number}.\n" for number, token in enumerate(sample[:12]))
    yield Text("special tokens of a chat", joined)


def _special_ids(vocabulary: Vocabulary) -> list[int]:
    kinds = (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN)
    return [token_id for token_id, kind in enumerate(vocabulary.table.types) if kind in kinds]


def _prepared(vocabulary: Vocabulary, text: str) -> str:
    if vocabulary.normalization is not None:
        text = unicodedata.normalize(vocabulary.normalization, text)
    if vocabulary.space_prefix == "start only" and text:
        tokens = vocabulary.table.tokens
        before_none = (" ", "\u2581", *(tokens[token_id] for token_id in _special_ids(vocabulary)))
        return text if text.startswith(before_none) else " " + text
    return text


def _prove_around(vocabulary: Vocabulary, reference: Reference, llama: LlamaVocab) -> None:
    """Tokens around a text: as the vocabulary says, and as the reference does where it knows."""
    special = vocabulary.special
    for text in (Text("text with its bos and eos", "Hello world."), Text("text with its bos and eos", "")):
        plain = llama.tokenize(_prepared(vocabulary, text.text))
        before = [special.ids["bos"]] if vocabulary.add_bos else []
        after = [special.ids["eos"]] if vocabulary.add_eos else []
        expected = [*before, *plain, *after]
        found = llama.tokenize(_prepared(vocabulary, text.text), add_special=True)
        if reference.adds_special:
            expected = reference.encode(text.text, add_special=True)
        if found != expected:
            raise _mismatch(vocabulary, reference, text, expected, found)


def _prove_ends(vocabulary: Vocabulary, llama: LlamaVocab) -> None:
    if not llama.ends_reply(vocabulary.eos_token_id):
        raise UnsupportedError(
            f"llama.cpp does not stop at {vocabulary.table.tokens[vocabulary.eos_token_id]!r}, the end of a reply",
            hint="the vocabulary cannot be used with llama.cpp",
        )


def _limitations(vocabulary: Vocabulary, llama: LlamaVocab) -> tuple[str, ...]:
    limits = []
    form = vocabulary.normalization
    if form is not None:
        examples = (text.text for text in CORPUS if unicodedata.normalize(form, text.text) != text.text)
        if any(llama.tokenize(text) != llama.tokenize(_prepared(vocabulary, text)) for text in examples):
            limits.append(
                f"the tokenizer brings text into Unicode form {form}, llama.cpp does not: edgellm does it before "
                "tokenizing; other programs get other tokens for text in another form"
            )
    if vocabulary.space_prefix == "start only":
        limits.append(
            "the tokenizer puts a space before the start of a text only, llama.cpp cannot: edgellm puts it there; "
            "other programs get other tokens for prompts that start with plain text"
        )
    if vocabulary.strips_spaces:
        names = ", ".join(repr(vocabulary.table.tokens[token_id]) for token_id in sorted(vocabulary.strips_spaces)[:4])
        limits.append(f"these added tokens swallow the spaces beside them, in llama.cpp they do not: {names}")
    return tuple(limits)


def _mismatch(
    vocabulary: Vocabulary, reference: Reference, text: Text, expected: list[int], found: list[int]
) -> UnsupportedError:
    return UnsupportedError(
        f"llama.cpp would split text differently from the model's own tokenizer ({reference.name}):\n"
        + describe_difference(text, vocabulary.table.tokens, expected, found),
        hint="a model that sees other tokens than it was trained with answers worse, so it is not packed; "
        f"vocabulary {vocabulary.kind}, pre-tokenizer {vocabulary.pre}",
    )
