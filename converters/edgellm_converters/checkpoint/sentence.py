"""What a folder of sentence-transformers says beside the model: how a text becomes one vector.

modules.json lists the steps: the transformer, a pooling with a configuration of its own, and often a normalisation.
Where texts are cut stands in sentence_bert_config.json; since release 6 in tokenizer_config.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.files import read_small_file
from edgellm.formats.encoders import Pooling
from edgellm_converters.arch.config import Config
from edgellm_converters.checkpoint.files import inside, read_json

__all__ = ["SentenceConfig", "read_sentence_config"]

_MODULES = "modules.json"
_TRANSFORMER = "sentence_bert_config.json"
_TOKENIZER = "tokenizer_config.json"
_PROMPTS = "config_sentence_transformers.json"
_LONGEST = 1 << 24  # tokens; "no limit" is written as 10^30
_LIMIT_BYTES = 1 << 20
_HINT = "download the model's folder again, with its subfolders"
_FLAGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_NAMES: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_OTHERS = ("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens")


@dataclass(frozen=True)
class SentenceConfig:
    """``pooling`` is None where the folder does not say: then it is the mean, as sentence-transformers has it."""

    pooling: Pooling | None = None
    normalise: bool = False  # to a length of 1
    max_tokens: int | None = None  # of a text, special tokens included; what is longer is cut
    lowercase: bool = False  # before the tokenizer sees the text
    prompt: str = ""  # that sentence-transformers puts before a text by itself
    files: tuple[Path, ...] = ()  # that were read


def read_sentence_config(folder: Path) -> SentenceConfig:
    """Read the files of ``folder``; without modules.json nothing is known.

    Raises CheckpointError for files that are torn or lying, UnsupportedError for steps that we do not take.
    """
    if not (folder / _MODULES).is_file():
        return SentenceConfig()
    files = [folder / _MODULES]
    steps = _steps(folder)
    kinds = [kind for kind, _ in steps]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        raise UnsupportedError(
            f"{folder / _MODULES} has the steps {', '.join(kinds)[:200]}",
            hint="supported: Transformer, Pooling, and Normalize if need be",
        )
    if steps[0][1] not in ("", "."):
        raise UnsupportedError(
            f"{folder / _MODULES} has the transformer in {steps[0][1][:80]!r}", hint="supported: in the folder itself"
        )
    pooling_file = _pooling_file(folder, steps[1][1])
    files.append(pooling_file)
    max_tokens, lowercase = None, False
    if (folder / _TRANSFORMER).is_file():
        files.append(folder / _TRANSFORMER)
        config = Config(read_json(folder, _TRANSFORMER), str(folder / _TRANSFORMER), _HINT)
        max_tokens = config.integer("max_seq_length") if "max_seq_length" in config else None
        lowercase = config.flag("do_lower_case")
    if max_tokens is None and (folder / _TOKENIZER).is_file():
        stated = read_json(folder, _TOKENIZER).get("model_max_length")
        max_tokens = stated if isinstance(stated, int) and 0 < stated < _LONGEST else None
    return SentenceConfig(
        _pooling(pooling_file), "Normalize" in kinds, max_tokens, lowercase, _prompt(folder), tuple(files)
    )


def _prompt(folder: Path) -> str:
    """The text that goes before every other one unless a program says otherwise; mostly there is none."""
    if not (folder / _PROMPTS).is_file():
        return ""
    values = read_json(folder, _PROMPTS)
    prompts, name = values.get("prompts"), values.get("default_prompt_name")
    found = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
    return found if isinstance(found, str) else ""


def _steps(folder: Path) -> list[tuple[str, str]]:
    """Kind and folder of each module: the kind is the last part of its class, which has moved between packages."""
    values = _json(folder / _MODULES)
    if not isinstance(values, list) or not all(isinstance(step, dict) for step in values):
        raise CheckpointError(f"{folder / _MODULES} is no list of modules", hint=_HINT)
    steps = [(step.get("type"), step.get("path", "")) for step in values[:16]]
    if not all(isinstance(kind, str) and isinstance(path, str) for kind, path in steps):
        raise CheckpointError(f"{folder / _MODULES} has a module without a type", hint=_HINT)
    return [(str(kind).rpartition(".")[2], str(path)) for kind, path in steps]


def _pooling_file(folder: Path, name: str) -> Path:
    parent = folder / name
    if not name or "/" in name or "\\" in name or name in (".", "..") or parent.is_symlink():
        raise CheckpointError(f"{folder / _MODULES} has the pooling in {name[:80]!r}, which is no folder in it")
    if not (parent / "config.json").is_file():
        raise CheckpointError(f"{parent / 'config.json'} is missing: it says how texts are pooled", hint=_HINT)
    return parent / "config.json"


def _pooling(path: Path) -> Pooling:
    values = _json(path)
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is not a JSON object", hint=_HINT)
    named = values.get("pooling_mode")
    modes = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    found = [_NAMES.get(str(mode), str(mode)) for mode in modes]
    found += [name for key, name in _FLAGS.items() if values.get(key) is True]
    found += [key.removeprefix("pooling_mode_") for key in _OTHERS if values.get(key) is True]
    pooling = next((known for known in get_args(Pooling) if found == [known]), None)
    if pooling is not None:
        return cast(Pooling, pooling)
    raise UnsupportedError(
        f"{path} pools by {', '.join(found)[:120] or 'nothing that is known'}",
        hint="supported: the mean of all tokens, the first token (cls), or the last one, one of them alone",
    )


def _json(path: Path) -> Any:
    inside(path.parent, path.name)
    try:
        return json.loads(read_small_file(path, _LIMIT_BYTES, path.name).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({type(error).__name__})", hint=_HINT) from None
