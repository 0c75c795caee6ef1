"""The tokenizer files of a checkpoint as an ONNX bundle carries them: what `tokenizers` and onnxruntime-genai read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm.errors import UnsupportedError
from edgellm.files import read_small_file

if TYPE_CHECKING:
    from edgellm_converters.tokenizer import Vocabulary

__all__ = ["TOKENIZER_CONFIG_NAME", "TOKENIZER_NAME", "tokenizer_files"]

TOKENIZER_NAME = "tokenizer.json"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
_LIMIT_BYTES = 256 << 20


def tokenizer_files(folder: Path, vocabulary: Vocabulary) -> dict[str, bytes]:
    """tokenizer.json as it is, and tokenizer_config.json with the chat template in it, wherever that came from.

    Raises UnsupportedError for a checkpoint without tokenizer.json.
    """
    path = folder / TOKENIZER_NAME
    if not path.is_file():
        raise UnsupportedError(
            f"{folder} has no {TOKENIZER_NAME}, which an ONNX model needs",
            hint="save the tokenizer once with transformers (AutoTokenizer.from_pretrained(...).save_pretrained(...)), "
            "or take --format gguf",
        )
    config = folder / TOKENIZER_CONFIG_NAME
    values: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if config.is_file():
        from edgellm_converters.checkpoint.files import read_json

        values = read_json(folder, TOKENIZER_CONFIG_NAME)
    if vocabulary.chat_template is not None and not isinstance(values.get("chat_template"), str | list):
        values = values | {"chat_template": vocabulary.chat_template}
    text = json.dumps(values, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    return {
        TOKENIZER_NAME: read_small_file(path, _LIMIT_BYTES, TOKENIZER_NAME),
        TOKENIZER_CONFIG_NAME: text.encode("utf-8", "surrogatepass"),
    }
