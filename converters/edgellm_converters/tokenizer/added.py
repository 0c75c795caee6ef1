"""Which type an added token gets, and how the token list is padded to the embedding's size.

The rules are those of llama.cpp's converter (``does_token_look_special``, ``get_vocab_base`` in conversion/base.py):
some released tokenizers forget to mark control tokens as special.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgellm.errors import CheckpointError
from edgellm_converters.tokenizer.vocabulary import TOKENS_LIMIT, TokenType

__all__ = ["added_token_row", "looks_special", "padded_size", "padding_tokens"]

_SPECIAL_LOOKING = frozenset(("<pad>", "<mask>", "<2mass>", "[@BOS@]"))
_SPECIAL_BRACKETS = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))


def looks_special(token: str) -> bool:
    """Whether the text of a token says that it is a control token."""
    return token in _SPECIAL_LOOKING or any(
        token.startswith(left) and token.endswith(right) for left, right in _SPECIAL_BRACKETS
    )


def added_token_row(content: str, *, special: bool) -> tuple[str, TokenType]:
    """Text and type of an added token. llama.cpp looks for it in raw text, where a space is a space and not U+2581."""
    if special or looks_special(content):
        return content, TokenType.CONTROL
    return content.replace("\u2581", " "), TokenType.USER_DEFINED


def padded_size(config: dict[str, object], n_tokens: int) -> int:
    """The number of token ids of the model: ``vocab_size`` of config.json, else ``n_tokens``.

    Raises CheckpointError when it is no plausible number.
    """
    text_config = config.get("text_config")
    size = config.get("vocab_size")
    if size is None and isinstance(text_config, dict):
        size = text_config.get("vocab_size")
    if size is None:
        size = n_tokens
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= TOKENS_LIMIT:
        raise CheckpointError(
            f"vocab_size in config.json is {size!r:.40}, which is no vocabulary size", hint="fetch config.json again"
        )
    return size


def padding_tokens(size: int, taken: Iterable[str]) -> list[str]:
    """``size`` placeholder tokens, ``[PAD<id>]``; none of them is among ``taken``."""
    texts = set(taken)
    padding = []
    for token_id in range(size):
        token = f"[PAD{token_id}]"
        while token in texts:
            token = f"[{token}]"
        padding.append(token)
    return padding
