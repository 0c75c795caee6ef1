"""llama.cpp's pre-tokenizers, as the structure that tokenizer.json gives them. Data only.

A structure is a tuple of steps as ``edgellm_converters.tokenizer.pretokenizer`` writes them: ``("split", regex)``,
``("bytelevel",)`` (GPT-2's regex, then bytes), ``("bytes",)`` (bytes only), ``("digits", "each" | "runs")``,
``("punctuation", behavior)``. Which regex a name stands for: ``llm_tokenizer_bpe`` in llama.cpp's llama-vocab.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KNOWN", "KnownPreTokenizer", "Step"]

Step = tuple[str, ...]


@dataclass(frozen=True)
class KnownPreTokenizer:
    """``name``: value of tokenizer.ggml.pre. ``ignore_merges``: what llama.cpp does under that name."""

    name: str
    steps: tuple[Step, ...]
    ignore_merges: bool = False


_BYTES: Step = ("bytes",)
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TAIL_SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
_LLAMA3 = _CONTRACTIONS + _WORD + r"\p{N}{1,3}" + _TAIL
_QWEN2 = _CONTRACTIONS + _WORD + r"\p{N}" + _TAIL
_QWEN35 = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_LEAD = r"[^\r\n\p{L}\p{N}]?"
_TEKKEN = f"{_LEAD}{_UPPER}*{_LOWER}+|{_LEAD}{_UPPER}+{_LOWER}*" + r"|\p{N}" + _TAIL_SLASH
_GPT4O = (
    f"{_LEAD}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_LEAD}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    + r"|\p{N}{1,3}"
    + _TAIL_SLASH
)
# Letters of the scripts with case, written as ranges by DeepSeek. Escaped: several of them look alike.
_DEEPSEEK_LETTERS = (
    "\\s?["
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-"
    "\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-"
    "\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-"
    "\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-"
    "\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-"
    "\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-"
    "\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-"
    "\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
    "]+"
)
_DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_WITH_MARKS = "granite-embed-multi-97m"

KNOWN: tuple[KnownPreTokenizer, ...] = (
    KnownPreTokenizer("gpt-2", (("bytelevel",),)),  # also gpt-neox, olmo, mpt, phi-2, exaone4
    KnownPreTokenizer("smollm", (("digits", "each"), ("bytelevel",))),  # also starcoder, refact, granite, command-r
    KnownPreTokenizer("llama-bpe", (("split", _LLAMA3), _BYTES), ignore_merges=True),  # also smollm3, glm4, falcon3
    KnownPreTokenizer("dbrx", (("split", _LLAMA3), _BYTES)),  # also smaug, phi-4, granite 4
    KnownPreTokenizer("qwen2", (("split", _QWEN2), _BYTES)),  # also qwen3, deepseek-r1-qwen, stablelm2
    KnownPreTokenizer("qwen35", (("split", _QWEN35), _BYTES)),
    # Under its own names "tekken" and "gpt-4o" llama.cpp cuts words at combining marks (Hindi, Thai, pointed Arabic
    # ...). This name has the same classes with the marks, and splits no finer anywhere else: the same tokens come out.
    KnownPreTokenizer(_WITH_MARKS, (("split", _TEKKEN), _BYTES), ignore_merges=True),  # mistral nemo and later
    KnownPreTokenizer(_WITH_MARKS, (("split", _GPT4O), _BYTES), ignore_merges=True),  # also llama4, phi-4-mini
    KnownPreTokenizer(
        "deepseek-llm",
        (
            ("split", "[\r\n]"),
            ("split", _DEEPSEEK_LETTERS),
            ("split", "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"),
            ("split", "\\s+$"),
            ("split", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
            ("digits", "each"),
            _BYTES,
        ),
    ),
    KnownPreTokenizer(
        "deepseek-coder",
        (
            ("split", "[\r\n]"),
            ("split", r"\s?\p{L}+"),
            ("split", r"\s?\p{P}+"),
            ("split", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
            ("digits", "each"),
            _BYTES,
        ),
    ),
    KnownPreTokenizer(
        "deepseek-v3",  # also hunyuan-dense, kimi-like derivatives with merges
        (("split", r"\p{N}{1,3}"), ("split", "[一-龥぀-ゟ゠-ヿ]+"), ("split", _DEEPSEEK3), _BYTES),
    ),
    KnownPreTokenizer(
        "falcon",
        (("punctuation", "Contiguous"), ("bytelevel",), ("digits", "runs"), ("split", "[0-9][0-9][0-9]")),
    ),
    KnownPreTokenizer(
        "minicpm5",
        (("split", r"\p{N}{1,3}"), ("split", _CONTRACTIONS + _WORD + r"\p{N}+" + _TAIL), _BYTES),
        ignore_merges=True,
    ),
    KnownPreTokenizer(
        "seed-coder",
        (
            ("split", _CONTRACTIONS + _WORD + r"\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"),
            _BYTES,
        ),
    ),
    KnownPreTokenizer("ufakzeka", (("split", r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _TAIL), _BYTES)),
    KnownPreTokenizer(
        "bailingmoe",
        (
            (
                "split",
                r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
                r"|\s*[\r\n]|\s+(?!\S)|\s+",
            ),
            _BYTES,
        ),
    ),
)
