"""Reference documents made from the profile structs and the shipped profiles."""

from __future__ import annotations

from typing import Any

import msgspec

from edgellm.devices.load import list_profiles
from edgellm.devices.profile import Figure, Profile

__all__ = ["devices_markdown", "profile_schema"]


def profile_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a device profile."""
    schema = msgspec.json.schema(Profile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "edgellm device profile"} | schema


def devices_markdown() -> str:
    """A table of the shipped profiles."""
    lines = [
        "# Devices",
        "",
        "Generated from device_profiles/. `edgellm devices show ID` prints a profile with the source of every figure.",
        "",
        "Support: *tested* was run on the device itself; *expected* rests on published llama.cpp measurements;",
        "*unknown* has no published measurement to hold the prediction against.",
        "",
        "| id | device | aliases | memory | GB/s | processor | accelerator | support |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for profile in list_profiles():
        cores = " + ".join(f"{cluster.count}x{cluster.core}" for cluster in profile.cpu.clusters)
        sizes = ", ".join(_bold(size, profile.memory.default_size) for size in profile.memory.sizes)
        row = [
            f"`{profile.id}`",
            profile.name,
            ", ".join(f"`{alias}`" for alias in profile.aliases),
            sizes,
            _figure(profile.memory.bandwidth_theoretical_gb_s),
            cores,
            profile.accelerator.kind if profile.accelerator else "",
            profile.support,
        ]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "The memory size in bold is planned for unless `--memory` says otherwise.", ""]
    return "\n".join(lines)


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return f"{figure.minimum:g}" if figure.minimum == figure.maximum else f"{figure.minimum:g}-{figure.maximum:g}"


def _bold(size: str, default: str) -> str:
    return f"**{size}**" if size == default else size
