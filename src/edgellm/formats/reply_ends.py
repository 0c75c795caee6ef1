"""Tokens that end a reply by what they are called, whether or not a model's files say so."""

from __future__ import annotations

__all__ = ["ENDS_BY_TEXT"]

ENDS_BY_TEXT = (
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
    "<｜end▁of▁sentence｜>",
)
"""As llama.cpp has them (llama-vocab.cpp, special_eog_ids), those that end a turn of a chat first."""
