"""The vocabulary of a model in the form that GGUF wants it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal

from edgellm.errors import CheckpointError, UnsupportedError

__all__ = [
    "TOKENS_LIMIT",
    "ChatTemplates",
    "MetadataEntry",
    "MetadataValue",
    "Normalization",
    "SpacePrefix",
    "SpecialTokens",
    "TokenTable",
    "TokenType",
    "Vocabulary",
    "WordPieceRules",
]

TOKENS_LIMIT = 1 << 21  # eight times the largest vocabulary in use
PADDING_SCORE = -10000.0
ADDED_SCORE = -1000.0

MetadataValue = str | int | bool | list[str] | list[int] | list[float]
MetadataEntry = tuple[str, MetadataValue, str]
"""Key, value and GGUF value type: "str", "u32", "bool", "arr[str]", "arr[i32]" or "arr[f32]"."""

Normalization = Literal["NFC", "NFD", "NFKC", "NFKD"]
SpacePrefix = Literal["every text", "start only", "never"]


class TokenType(IntEnum):
    """What llama.cpp knows about a token (``tokenizer.ggml.token_type``)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class TokenTable:
    """One row per token id. ``scores`` is there for SentencePiece, ``merges`` for byte-level BPE."""

    model: Literal["bert", "gpt2", "llama"]  # tokenizer.ggml.model
    pre: str  # tokenizer.ggml.pre
    tokens: list[str]
    types: list[int]
    scores: list[float] | None = None
    merges: list[str] | None = None

    def __post_init__(self) -> None:
        """Raise CheckpointError for what llama.cpp would end the process over, or read as something else."""
        try:
            if b"\0" in "".join(self.tokens).encode("utf-8"):
                raise UnsupportedError(
                    "the tokenizer has a token with a NUL character inside, which llama.cpp cuts off",
                    hint="the model cannot be run by llama.cpp with the same tokens",
                )
        except UnicodeEncodeError as error:
            raise CheckpointError(
                "the tokenizer has a token that is not valid Unicode", hint="fetch the tokenizer files again"
            ) from error
        seen: dict[str, int] = {}
        for token_id, token in enumerate(self.tokens):
            text = token or f"[EMPTY_{token_id}]"  # the name that llama.cpp gives a token without text
            other = seen.setdefault(text, token_id)
            if other != token_id:
                raise CheckpointError(
                    f"the tokens {other} and {token_id} of the tokenizer both read {text!r}",
                    hint="the vocabulary is damaged: fetch tokenizer.json or tokenizer.model again",
                )


@dataclass(frozen=True)
class SpecialTokens:
    """Special token ids by GGUF kind ("bos", "eos", "unk", "sep", "pad", "cls", "mask", "eot", "eom") and the
    ``add_*_token`` flags by kind ("bos", "eos", "sep"), both in the order in which they are written.
    """

    ids: dict[str, int]
    add: dict[str, bool]
    eos_token_ids: tuple[int, ...]


@dataclass(frozen=True)
class WordPieceRules:
    """What a WordPiece tokenizer does to text before it looks for pieces; see ``edgellm.formats.wordpiece``."""

    lowercase: bool
    strip_accents: bool
    strip_accents_given: bool = False  # the file says so, and does not leave it to ``lowercase``


@dataclass(frozen=True)
class ChatTemplates:
    """The chat template and the named ones beside it (for tools, for retrieval)."""

    default: str | None
    named: dict[str, str]


@dataclass(frozen=True)
class Vocabulary:
    """What the tokenizer files of a checkpoint say, ready to be written into a GGUF.

    ``metadata``: the ``tokenizer.*`` keys in the order of llama.cpp's own converter.
    ``eos_token_ids``: every token that ends a reply, the main one first; GGUF itself holds one.
    ``normalization``: the Unicode form that the tokenizer brings text into. llama.cpp does not: whoever hands it text
    has to. None when the tokenizer leaves text alone.
    ``space_prefix``: where the tokenizer puts a space before text: before every stretch of text between special tokens
    (llama.cpp does the same), only at the very start (llama.cpp cannot: whoever hands it text has to), or nowhere.
    ``strips_spaces``: ids of added tokens that swallow spaces beside them; llama.cpp leaves those spaces alone.
    ``notes``: sentences about what differs from the checkpoint, for the user.
    ``sources``: the files that were read.
    ``word_piece``: of a WordPiece vocabulary.
    """

    table: TokenTable
    special: SpecialTokens
    templates: ChatTemplates
    metadata: list[MetadataEntry]
    normalization: Normalization | None
    space_prefix: SpacePrefix
    check_all_tokens: bool  # llama.cpp's merge rule for whole words is set by `pre`, and differs from the checkpoint's
    strips_spaces: frozenset[int]
    notes: tuple[str, ...]
    sources: tuple[Path, ...]
    word_piece: WordPieceRules | None = None

    @property
    def n_tokens(self) -> int:
        """Number of token ids, padding included: the vocabulary size of the embedding tensor."""
        return len(self.table.tokens)

    @property
    def kind(self) -> str:
        """``tokenizer.ggml.model``: "gpt2" (byte-level BPE), "llama" (SentencePiece) or "bert" (WordPiece)."""
        return self.table.model

    @property
    def pre(self) -> str:
        """``tokenizer.ggml.pre``: llama.cpp's name of the pre-tokenizer."""
        return self.table.pre

    @property
    def chat_template(self) -> str | None:
        """The default chat template (Jinja), if the checkpoint has one."""
        return self.templates.default

    @property
    def bos_token_id(self) -> int | None:
        """The token before a text."""
        return self.special.ids.get("bos")

    @property
    def eos_token_id(self) -> int:
        """The main token that ends a reply."""
        return self.special.ids["eos"]

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Every token that ends a reply, the main one first."""
        return self.special.eos_token_ids

    @property
    def add_bos(self) -> bool:
        """Whether encoding a text puts the bos token before it."""
        return self.special.add.get("bos", self.table.model == "llama")  # llama.cpp's own defaults

    @property
    def add_eos(self) -> bool:
        """Whether encoding a text puts the eos token after it."""
        return self.special.add.get("eos", False)
