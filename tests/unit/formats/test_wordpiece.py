"""Our WordPiece gives the ids of the `tokenizers` library, whatever the text."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bert_checkpoint import BERT_TOKENS, SPECIAL, tokenizer_json
from edgellm.formats.wordpiece import WordPiece
from edgellm_converters.tokenizer.corpus import CORPUS

RULES = {"uncased": (True, None), "cased": (False, None), "accents stay": (True, False), "bare": (False, True)}
GGUF_TOKENS = [
    text if text in SPECIAL else text[2:] if text.startswith("##") else f"\u2581{text}" for text in BERT_TOKENS
]


def both(rules: str) -> tuple[WordPiece, Tokenizer]:
    lowercase, strip = RULES[rules]
    reference = Tokenizer.from_str(json.dumps(tokenizer_json(lowercase=lowercase, strip_accents=strip)))
    reference.no_truncation()
    ours = WordPiece(
        GGUF_TOKENS, range(len(SPECIAL)), 1, lowercase=lowercase, strip_accents=lowercase if strip is None else strip
    )
    return ours, reference


@pytest.mark.parametrize("rules", RULES)
def test_the_corpus(rules: str) -> None:
    ours, reference = both(rules)
    for text in CORPUS:
        assert ours.encode(text.text, parse_special=True) == reference.encode(text.text, add_special_tokens=False).ids


@pytest.mark.parametrize("rules", ["uncased", "cased", "accents stay"])
def test_every_character_of_the_first_planes_is_cut_as_the_library_cuts_it(rules: str) -> None:
    ours, reference = both(rules)
    step = 1 if rules == "uncased" else 7
    numbers = [*range(0x3000), *range(0xA000, 0xAC00, step), *range(0xF900, 0x12000, step), *range(0x1D100, 0x1F000, 3)]
    for number in numbers:
        text = f"a{chr(number)}b"
        normal = reference.normalizer.normalize_str(text)
        expected = [word for word, _ in reference.pre_tokenizer.pre_tokenize_str(normal)]
        assert [word for word in ours.words(text) if word] == expected, hex(number)


@given(
    st.text(
        alphabet=st.one_of(
            st.sampled_from(
                "aAbBtThHeE .,'\n\t[]CLSEP#ÄÖüßéİıǅΣ文字あ\u0301\u0345\u200b\u2028\x0b\x85\xa0🎉\U00011938"
            ),
            st.characters(exclude_categories=["Cs"]),
        ),
        max_size=60,
    ),
    st.sampled_from(sorted(RULES)),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_any_text(text: str, rules: str, parse_special: bool) -> None:
    ours, reference = both(rules)
    if sys.version_info >= (3, 14):  # its Unicode takes characters apart that the library does not know
        text = "".join(character for character in text if ord(character) < 0x10000)
    reference.encode_special_tokens = not parse_special
    assert ours.encode(text, parse_special=parse_special) == reference.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("playing", ["play", "##ing"]),
        ("Unable", ["un", "##able"]),
        ("[CLS]hello[SEP]", ["[CLS]", "hello", "[SEP]"]),
        ("q\u4e00q", ["q", "[UNK]", "q"]),
        ("a" * 100, ["a", *["##a"] * 99]),
        ("a" * 101, ["[UNK]"]),
        ("", []),
        (" \n\t\u2029 ", []),
    ],
)
def test_pieces(text: str, pieces: list[str]) -> None:
    ours, _ = both("uncased")
    assert [BERT_TOKENS[number] for number in ours.encode(text, parse_special=True)] == pieces


def test_special_tokens_are_text_where_they_are_not_looked_for() -> None:
    ours, reference = both("cased")
    reference.encode_special_tokens = True
    found = ours.encode("a [SEP] b", parse_special=False)
    assert found == reference.encode("a [SEP] b", add_special_tokens=False).ids
    assert BERT_TOKENS.index("[SEP]") not in found
