"""Runs llama.cpp's own convert_hf_to_gguf.py, with `gpt-2` as its answer for tokenizers whose hash it does not know.

usage: convert_wrapper.py SOURCE_DIR [arguments of convert_hf_to_gguf.py]

SOURCE_DIR is llama.cpp's source tree: its `conversion` package and its `gguf-py` are the ones that get imported. A
tokenizer that the script knows is answered by the script itself.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys
from pathlib import Path
from typing import Any

FALLBACK = "gpt-2"


def answer_unknown_tokenizers(model_class: Any) -> None:
    """Wrap `get_vocab_base_pre`, which raises NotImplementedError for a tokenizer it does not know."""
    known = model_class.get_vocab_base_pre

    def get_vocab_base_pre(self: Any, tokenizer: Any) -> str:
        try:
            return str(known(self, tokenizer))
        except NotImplementedError:
            logging.getLogger("convert_wrapper").warning("tokenizer not known to the script: taken as %s", FALLBACK)
            return FALLBACK

    model_class.get_vocab_base_pre = get_vocab_base_pre


def main() -> None:
    source = Path(sys.argv[1]).resolve()
    script = source / "convert_hf_to_gguf.py"
    os.environ.pop("NO_LOCAL_GGUF", None)
    sys.path[:0] = [str(source), str(source / "gguf-py")]

    import gguf

    if not Path(gguf.__file__ or "").resolve().is_relative_to(source):
        raise SystemExit(f"gguf came from {gguf.__file__}, not from {source}")

    from conversion.base import TextModel  # type: ignore[import-not-found]

    answer_unknown_tokenizers(TextModel)
    sys.argv = [str(script), *sys.argv[2:]]
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
