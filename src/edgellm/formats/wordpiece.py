"""WordPiece as the tokenizers of BERT and its kin have it: text is made uniform, cut into words, and each word into the
longest pieces that the vocabulary knows.

The rules are those of BertNormalizer, BertPreTokenizer and WordPiece of the `tokenizers` library, whose ids it gives,
without that library: a device needs none for a GGUF.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from edgellm.formats.bert_characters import LATER_LOWER_CASE, is_nonspacing_mark, is_other, is_punctuation

__all__ = ["LONGEST_WORD", "WORD_START", "WordPiece"]

WORD_START: Final = "\u2581"
"""What GGUF puts before a piece that begins a word; pieces inside a word stand there without their ##."""

LONGEST_WORD: Final = 100  # characters; a longer one is unknown as a whole

_MOST_CACHED_WORDS = 1 << 15
_MOST_CACHED_CHARACTERS = 1 << 14
_SPACES = frozenset("\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(number) for number in range(0x2000, 0x200B)
}
_COMPOSED_LATER = re.compile(
    "([\U000105c9\U000105e4\U00011383\U00011385\U0001138e\U00011391\U000113c5\U000113c7\U000113c8\U00011938"
    "\U00016121-\U00016128\U00016d68-\U00016d6a])"
)
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),  # as in the library; the block begins at 2B820
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """The tokenizer of one vocabulary.

    ``tokens`` are the texts of all ids as GGUF writes them; ``special`` the ids of those that are found in a text as
    they are. ``strip_accents`` and ``lowercase`` are BertNormalizer's.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        special: Sequence[int],
        unknown: int,
        *,
        lowercase: bool = True,
        strip_accents: bool = True,
    ) -> None:
        markers = set(special)
        # a special token is a word like any other where markers are not looked for
        self._ids = {
            f"{WORD_START}{text}" if number in markers else text: number for number, text in enumerate(tokens) if text
        }
        self._longest = max((len(text) for text in self._ids), default=1)
        self._unknown = unknown
        self._special = {tokens[number]: number for number in special if tokens[number]}
        by_length = sorted(self._special, key=len, reverse=True)
        self._marker = re.compile("|".join(map(re.escape, by_length))) if by_length else None
        self._strip_accents = strip_accents
        self._clean = _CleanText()
        self._cut = _CutText(lowercase=lowercase, strip_accents=strip_accents)
        self._words: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """The ids of ``text``, nothing put around it; ``parse_special`` finds special tokens in it."""
        ids: list[int] = []
        start = 0
        for match in self._marker.finditer(text) if parse_special and self._marker is not None else ():
            self._encode_plain(text[start : match.start()], ids)
            ids.append(self._special[match.group()])
            start = match.end()
        self._encode_plain(text[start:] if start else text, ids)
        return ids

    def words(self, text: str) -> list[str]:
        """The words of ``text``, made uniform."""
        text = text.translate(self._clean)
        if self._strip_accents and not text.isascii():
            text = _decomposed(text)
        return text.translate(self._cut).split(" ")

    def _encode_plain(self, text: str, ids: list[int]) -> None:
        known = self._words
        for word in self.words(text):
            if not word:
                continue
            pieces = known.get(word)
            if pieces is None:
                pieces = self._pieces(word)
                if len(known) < _MOST_CACHED_WORDS:
                    known[word] = pieces
            ids += pieces

    def _pieces(self, word: str) -> tuple[int, ...]:
        """The longest known piece, and so on; one unknown token for a word that does not come out even."""
        length, found, start = len(word), list[int](), 0
        if length > LONGEST_WORD:
            return (self._unknown,)
        while start < length:
            prefix = "" if start else WORD_START
            for end in range(min(length, start + self._longest), start, -1):
                number = self._ids.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return (self._unknown,)
            found.append(number)
            start = end
        return tuple(found)


class _CleanText(dict[int, str]):
    """For str.translate: control characters go, spaces become one kind, ideographs are words of their own."""

    def __missing__(self, number: int) -> str:
        character = chr(number)
        if is_other(number):
            found = ""
        elif character in _SPACES:
            found = " "
        elif any(first <= number <= last for first, last in _IDEOGRAPHS):
            found = f" {character} "
        else:
            found = character
        if len(self) < _MOST_CACHED_CHARACTERS:
            self[number] = found
        return found


class _CutText(dict[int, str]):
    """For str.translate: accents and capitals go, and every punctuation mark stands alone."""

    def __init__(self, *, lowercase: bool, strip_accents: bool) -> None:
        super().__init__()
        self._lowercase = lowercase
        self._strip_accents = strip_accents

    def __missing__(self, number: int) -> str:
        character = chr(number)
        if self._strip_accents and is_nonspacing_mark(number):
            found = ""
        else:
            found = "".join(map(_apart, _lower(number) if self._lowercase else character))
        if len(self) < _MOST_CACHED_CHARACTERS:
            self[number] = found
        return found


def _decomposed(text: str) -> str:
    """Unicode form D as of the library's tables: what Unicode takes apart since version 13 stays whole."""
    parts = _COMPOSED_LATER.split(text)
    return "".join(part if place % 2 else unicodedata.normalize("NFD", part) for place, part in enumerate(parts))


def _lower(number: int) -> str:
    return chr(LATER_LOWER_CASE[number]) if number in LATER_LOWER_CASE else chr(number).lower()


def _apart(character: str) -> str:
    if character in _SPACES:
        return " "
    return f" {character} " if is_punctuation(ord(character)) else character
