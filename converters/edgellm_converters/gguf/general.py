"""The ``general.*`` keys: what the model is called, where it comes from, how it wants to be sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from edgellm.errors import CheckpointError
from edgellm_converters.arch.metadata import MetadataEntry
from edgellm_converters.model_card import front_matter

__all__ = ["GeneralMetadata", "general_metadata", "identity_metadata"]

_WANTED: dict[str, tuple[type, ...]] = {"str": (str,), "i32": (int,), "f32": (int, float)}
_SAMPLING = (
    ("sequence", "sequence", "str"),
    ("top_k", "top_k", "i32"),
    ("top_p", "top_p", "f32"),
    ("min_p", "min_p", "f32"),
    ("xtc_probability", "xtc_probability", "f32"),
    ("xtc_threshold", "xtc_threshold", "f32"),
    ("temperature", "temp", "f32"),
    ("penalty_last_n", "penalty_last_n", "i32"),
    ("penalty_repeat", "penalty_repeat", "f32"),
    ("mirostat", "mirostat", "i32"),
    ("mirostat_tau", "mirostat_tau", "f32"),
    ("mirostat_eta", "mirostat_eta", "f32"),
)


@dataclass(frozen=True)
class GeneralMetadata:
    """What the caller decides. ``name`` becomes general.name; None lets the folder's name decide."""

    name: str | None = None


def general_metadata(
    folder: Path, general: GeneralMetadata, generation_config: Mapping[str, Any], n_parameters: int
) -> list[MetadataEntry]:
    """The keys as llama.cpp's converter derives them from the model card, the folder's name and generation_config.json.

    The heuristics on names are those of the ``gguf`` package, so that both converters agree. Raises CheckpointError for
    a model card or a generation_config.json of the wrong form.
    """
    return [
        ("general.type", "model", "str"),
        *_sampling(generation_config),
        *identity_metadata(folder, general, n_parameters),
    ]


def _sampling(config: Mapping[str, Any]) -> list[MetadataEntry]:
    values: dict[str, Any] = dict(config)
    if values.get("penalty_repeat") is None:
        values["penalty_repeat"] = values.get("repetition_penalty")
    entries: list[MetadataEntry] = []
    for source, target, type_name in _SAMPLING:
        value: Any = values.get(source)
        if value is None:
            continue
        if type(value) not in _WANTED[type_name]:
            raise CheckpointError(
                f"{source} in generation_config.json is {str(value)[:40]!r}", hint="correct or remove the file"
            )
        entries.append((f"general.sampling.{target}", value, type_name))
    return entries


def identity_metadata(folder: Path, general: GeneralMetadata, n_parameters: int) -> list[MetadataEntry]:
    """What the model in ``folder`` is called and where it comes from; ``n_parameters`` is negative for an adapter.

    Raises CheckpointError for a model card of the wrong form.
    """
    import gguf

    yaml: Any = import_module("yaml")  # a dependency of gguf, without type stubs

    card = folder / "README.md"
    try:
        if card.is_file():
            front_matter(card)  # what gguf would choke on is refused first
        # The heuristics read the folder's name: that of a cache is a commit.
        named = folder.resolve().with_name(general.name) if general.name else folder.resolve()
        metadata = gguf.Metadata.apply_metadata_heuristic(
            gguf.Metadata(),
            gguf.Metadata.load_model_card(folder),
            gguf.Metadata.load_hf_parameters(folder),
            named,
            n_parameters,
        )
        metadata.name = general.name or metadata.name
        metadata.name = metadata.name or folder.resolve().name
        if not metadata.size_label and n_parameters > 0:
            metadata.size_label = gguf.size_label(n_parameters, n_parameters, 0, 0)
        writer = gguf.GGUFWriter(None, "llama")
        metadata.set_gguf_meta_model(writer)
        return [_entry(key, value) for key, value in writer.kv_data[0].items() if _is_identity(key)]
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        AssertionError,
        RecursionError,
        yaml.YAMLError,
    ) as error:
        raise CheckpointError(
            f"the front matter of {card} or _name_or_path in config.json cannot be read ({type(error).__name__})",
            hint="correct or remove the lines between the two --- at its top",
        ) from error


def _is_identity(key: str) -> bool:
    return key.startswith("general.") and key != "general.architecture" and not key.startswith("general.sampling.")


def _entry(key: str, value: Any) -> MetadataEntry:
    """One entry of the gguf package's writer as ours."""
    names = {"STRING": "str", "UINT32": "u32", "INT32": "i32", "FLOAT32": "f32", "BOOL": "bool", "ARRAY": "arr"}
    type_name = names[value.type.name]
    if type_name != "arr":
        return key, value.value, type_name
    items = list(value.value)
    if not all(isinstance(item, str) for item in items):
        raise TypeError(key)
    return key, items, "arr[str]"
