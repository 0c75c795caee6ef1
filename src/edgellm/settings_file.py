"""One setting in the user's settings file changed by a program, and all else in that file left as it was written."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

from edgellm.errors import EdgeLLMError, UsageError
from edgellm.files import os_errors, read_small_file, write_atomic
from edgellm.settings import SettingsWithOrigin, check_setting, with_setting
from edgellm.toml import LIMIT_BYTES, parse_toml

__all__ = ["keep_setting"]

_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)


def keep_setting(settings: SettingsWithOrigin, name: str, value: str) -> tuple[SettingsWithOrigin, str]:
    """Have ``name`` be ``value`` in the user's settings file, and in the settings that are returned.

    The second value is what counts more than that file and says otherwise, a flag, a variable or the file of --config:
    it is in force the next time too, where it is given again. Empty where nothing is. Raises UsageError for a value
    that the setting cannot have and for a file that is not to be understood, AccessError, NoSpaceError.
    """
    path = settings.paths.config / "config.toml"
    check_setting(name, value, str(path))  # a file that says it would end every command
    target = path.resolve()  # a link into a folder of such files stays one
    old, mode = b"", 0o644
    with os_errors(f"write {target}"):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
            old = read_small_file(target, LIMIT_BYTES, "the settings file")
    new = _changed(old, name, value, path)
    if new != old:
        with os_errors(f"write {target}"):
            write_atomic(target, new, mode=mode)
    origin = settings.origin[name]
    said_by_file = settings.config_file is not None and origin == str(settings.config_file)
    stronger = origin if said_by_file or origin.startswith(("--", "EDGELLM_")) else ""
    return with_setting(settings, name, value, origin if stronger else str(path)), stronger


def _changed(old: bytes, name: str, value: str, path: Path) -> bytes:
    """The file with its line for ``name`` replaced, or with one more; what the file says is the same otherwise."""
    before = parse_toml(old, str(path))
    text = old.decode("utf-8")
    said = f"{name} = {json.dumps(value)}"
    line = re.compile(rf"""^[ \t]*{name}[ \t]*=[ \t]*(?:"[^"\r\n]*"|'[^'\r\n]*')""", re.MULTILINE)
    if line.search(text):
        text = line.sub(lambda _: said, text, count=1)
    else:
        table = _TABLE.search(text)
        place = table.start() if table is not None else len(text)
        gap = "\n" if place and text[place - 1] != "\n" else ""
        text = f"{text[:place]}{gap}{said}\n{text[place:]}"
    new = text.encode("utf-8")
    if not _says(new, before | {name: value}, path):
        raise UsageError(f"{path} is written in a way that only people can change", hint=f"write {said} into it")
    return new


def _says(data: bytes, wanted: dict[str, Any], path: Path) -> bool:
    try:
        return parse_toml(data, str(path)) == wanted
    except EdgeLLMError:
        return False
