"""A vocabulary in the form that llguidance works on: the bytes of every token, and a way to tokenize forced text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgellm.errors import EdgeLLMError, UnsupportedError
from edgellm_runtimes.structured.library import is_panic

if TYPE_CHECKING:
    from llguidance import LLTokenizer

    from edgellm_runtimes.backend import Vocabulary

__all__ = ["ForcedText", "build_tokenizer", "end_tokens"]

_CONTROL_MARK = b"\xff"  # in llguidance: the token is no text, a grammar may name it by what follows
_LONGEST_TOKEN = 1000  # bytes; llguidance's tree of tokens is at most 1024 deep
# Tokens that a JSON string can take anywhere are found without a walk: 0.04 ms for a mask instead of 1.3, for 9 MB with
# 151,936 tokens. llguidance's own four slices are no faster and take 35 MB.
_SLICES = [r'[^"\\\x00-\x1F\x7F]{1,30}']
_SENTINEL = "\x02"
_LONGEST_MODEL_TEXT = 4000  # characters: beyond them llama.cpp is slow, and may need a larger stack


def end_tokens(vocabulary: Vocabulary, n_vocab: int) -> tuple[int, ...]:
    """The tokens that end a generation. Raises UnsupportedError when there is none."""
    ends = tuple(token for token in range(min(vocabulary.n_tokens, n_vocab)) if vocabulary.is_end(token))
    if not ends:
        raise UnsupportedError(
            "this model names no token that ends an answer: structured output could not end",
            hint="pack it again from a checkpoint whose generation_config.json has eos_token_id",
        )
    return ends


def build_tokenizer(vocabulary: Vocabulary, n_vocab: int, ends: tuple[int, ...]) -> tuple[LLTokenizer, ForcedText]:
    """The tokenizer of ``n_vocab`` ids, and the function that it calls. Takes about a second for 150,000 tokens.

    The GIL is held for half of that. End tokens get no bytes: no grammar asks for them, ``Constraint`` adds them.
    Raises UnsupportedError for a vocabulary that llguidance cannot take.
    """
    from llguidance import LLTokenizer

    forced = ForcedText(vocabulary, _token_bytes(vocabulary, n_vocab, frozenset(ends)), ends[0])
    try:
        tokenizer = LLTokenizer(forced, slices=_SLICES)  # type: ignore[arg-type]  # it asks for attributes, not for the class
    except BaseException as error:
        if not is_panic(error):
            raise
        raise UnsupportedError(f"llguidance cannot take the vocabulary of this model: {error}") from None
    forced.attach(tokenizer)
    return tokenizer, forced


def _token_bytes(vocabulary: Vocabulary, n_vocab: int, ends: frozenset[int]) -> list[bytes]:
    """What each token adds to the text: control tokens marked, nothing for ends and for ids without a token."""
    tokens = [b""] * n_vocab
    for token in range(min(vocabulary.n_tokens, n_vocab)):
        if token in ends:
            continue
        piece = vocabulary.piece(token)
        if not piece:
            name = vocabulary.piece(token, special=True)
            piece = _CONTROL_MARK + name if name else b""
        if len(piece) <= _LONGEST_TOKEN:
            tokens[token] = piece
    return tokens


class ForcedText:
    """Text that a grammar forces, as the tokens that the model would use for it.

    llguidance reads the attributes while it builds its tokenizer, and calls this object afterwards, from any thread.
    """

    is_tokenizer_wrapper = True
    bos_token_id: int | None = None
    special_token_ids: tuple[int, ...] = ()

    def __init__(self, vocabulary: Vocabulary, tokens: list[bytes], eos_token_id: int) -> None:
        self.tokens = tokens
        self.eos_token_id = eos_token_id
        self._vocabulary: Vocabulary | None = vocabulary
        self._tokenizer: LLTokenizer | None = None

    def attach(self, tokenizer: LLTokenizer) -> None:
        """``tokenizer`` has been built from this."""
        self._tokenizer = tokenizer
        self.tokens = []

    def detach(self) -> None:
        """The vocabulary is about to be freed."""
        self._vocabulary = None

    def __call__(self, text: str | bytes) -> list[int]:
        """Tokens whose bytes are those of ``text``: the model's own, else the longest ones from left to right."""
        if isinstance(text, bytes):  # llguidance tries first what it may give
            text = text.decode("utf-8", "replace")
        tokenizer = self._tokenizer
        assert tokenizer is not None
        try:
            return self._model_tokens(text, tokenizer) or tokenizer.greedy_tokenize(text)
        except EdgeLLMError:
            return tokenizer.greedy_tokenize(text)

    def _model_tokens(self, text: str, tokenizer: LLTokenizer) -> list[int]:
        """Empty where the model's tokenizer changes the text (its Unicode form), or would take long."""
        if self._vocabulary is None or len(text) > _LONGEST_MODEL_TEXT:
            return []
        tokens = self._vocabulary.tokenize(text, add_special=False, parse_special=False)
        wanted = text.encode("utf-8")
        if tokenizer.decode_bytes(tokens) == wanted:
            return tokens
        # in the middle of a text no space is put before it
        tokens = self._vocabulary.tokenize(_SENTINEL + text, add_special=False, parse_special=False)
        decoded = tokenizer.decode_bytes(tokens)
        if not decoded.endswith(wanted):
            return []
        left = len(decoded) - len(wanted)
        for place, token in enumerate(tokens):
            if left <= 0:
                return tokens[place:] if left == 0 else []
            left -= len(tokenizer.decode_bytes([token]))
        return []
