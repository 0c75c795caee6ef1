"""Where our metadata differs from that of llama.cpp's convert_hf_to_gguf.py, and why. A test allows no others.

``{arch}`` stands for the architecture's own prefix.
"""

from __future__ import annotations

__all__ = ["JUSTIFIED_DIFFERENCES"]

JUSTIFIED_DIFFERENCES = {
    "{arch}.rope.scaling.attn_factor": (
        "written when config.json sets YaRN's attention_factor or mscale: llama.cpp computes with this key, while the "
        "yarn_attn_factor that the script writes is overwritten before it is used"
    ),
    "tokenizer.ggml.scores": (
        "of a byte-fallback tokenizer.json: minus the rank of the merge, so that llama.cpp joins what the tokenizer "
        "joins; the script gives every token -1000, which splits words wrongly"
    ),
}
