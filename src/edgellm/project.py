"""edgellm.toml: the file that says which model a project packs, and for which devices."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgellm.errors import UsageError
from edgellm.files import read_small_file
from edgellm.toml import LIMIT_BYTES, parse_toml

__all__ = ["PROJECT_FILE", "Project", "load_project", "project_schema", "project_template"]

PROJECT_FILE = "edgellm.toml"
_SizeText = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?\s*([kKmMgGtT][iI]?)?[bB]?$")]


class Project(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `edgellm pack` does when it is called without a model."""

    source: Annotated[
        str, Meta(min_length=1, description="Checkpoint folder or GGUF file, relative to this file; or OWNER/MODEL.")
    ]
    name: Annotated[str | None, Meta(description="Name of the bundle; default: the name of the source.")] = None
    revision: Annotated[str | None, Meta(description="Revision of the source, written into the bundle.")] = None
    devices: Annotated[
        Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)] | None,
        Meta(description="Device profiles: one bundle each."),
    ] = None
    recipe: Annotated[str, Meta(description="Quantization recipe such as Q4_K_M, or auto.")] = "auto"
    format: Annotated[
        Literal["gguf", "onnx"] | None,
        Meta(
            description="Format of the model file; default: that of the recipe; else gguf, or onnx where it was "
            "measured to be faster."
        ),
    ] = None
    context: Annotated[
        Annotated[int, Meta(ge=16, le=16777216)] | None, Meta(description="Tokens of one conversation.")
    ] = None
    sequences: Annotated[
        Annotated[int, Meta(ge=1, le=255)] | None, Meta(description="Conversations at the same time.")
    ] = None
    memory: Annotated[_SizeText | None, Meta(description="Memory of the device, where it is sold with several.")] = None
    min_speed: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="Tokens per second that auto wants at least.")
    ] = None
    adapters: Annotated[
        dict[str, Annotated[str, Meta(min_length=1)]],
        Meta(description="LoRA adapters to bring along: name = PEFT folder or GGUF adapter, relative to this file."),
    ] = {}
    license: Annotated[str | None, Meta(description="SPDX id, or LicenseRef-..., when the source does not say it.")] = (
        None
    )


def load_project(path: Path) -> Project:
    """Read and check ``path``. Raises UsageError naming the field."""
    table = parse_toml(read_small_file(path, LIMIT_BYTES, "the project file"), str(path))
    try:
        return msgspec.convert(table, Project)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{path}: {error}", hint=f"the fields are: {', '.join(Project.__struct_fields__)}; see `edgellm init`"
        ) from error


def project_schema() -> dict[str, Any]:
    """The JSON Schema of edgellm.toml."""
    schema = msgspec.json.schema(Project)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": PROJECT_FILE, **schema}


def project_template(source: str, device: str) -> str:
    """A commented edgellm.toml."""
    text = f"""\
# What `edgellm pack` does in this folder when it is called without a model.

# A checkpoint folder (config.json, *.safetensors, tokenizer) or a GGUF file, relative to this file; or a model of a hub
# as OWNER/MODEL, with :QUANT for one of its GGUF files.
source = {_toml_string(source)}

# One bundle for each device; `edgellm devices` lists them.
devices = [{_toml_string(device)}]

# "auto" takes the best quality that fits and is fast enough; `edgellm fit` shows the choice.
recipe = "auto"

# The rest is optional.
# format = "gguf"              # or "onnx", for ONNX Runtime
# name = "my-model"            # default: the name of the source
# revision = "v1.0"            # of a hub: branch, tag or commit to take; else only written into the bundle
# context = 4096               # tokens of one conversation
# sequences = 1                # conversations at the same time
# memory = "4GiB"              # for devices that are sold with several sizes
# min_speed = 5.0              # tokens per second that "auto" wants at least
# adapters = {{ sql = "sql-lora" }} # LoRA adapters to bring along: PEFT folders or GGUF adapters
# license = "Apache-2.0"       # SPDX id or LicenseRef-..., when the source does not say it
"""
    if tomllib.loads(text)["source"] != source:
        raise AssertionError("the template does not read back")
    return text


def _toml_string(text: str) -> str:
    """A TOML basic string. Raises UsageError for what a text file cannot hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{text!r} is not Unicode: it cannot stand in {PROJECT_FILE}") from error
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else f"\\U{ord(letter):08X}" for letter in escaped) + '"'
