"""What the licence of a model means for somebody who uses it or passes it on, in one sentence.

Names as in https://spdx.org/licenses and https://huggingface.co/docs/hub/repositories-licenses; everything that SPDX
does not list comes as ``LicenseRef-<name>``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["license_note"]

# Use, change and passing on are allowed to everybody, for any purpose; copyleft ones ask for the same terms.
_PLAIN = frozenset(
    name.lower()
    for name in (
        "0BSD", "AFL-3.0", "AGPL-3.0", "Apache-1.1", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause",
        "BSD-3-Clause-Clear", "BSD-4-Clause", "BSL-1.0", "CC0-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0",
        "CC-BY-SA-2.0", "CC-BY-SA-2.5", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0",
        "CDLA-Sharing-1.0", "CECILL-2.1", "ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "GFDL-1.3",
        "GPL-2.0", "GPL-3.0", "ISC", "LGPL-2.1", "LGPL-3.0", "MIT", "MIT-0", "MPL-2.0", "MS-PL", "NCSA", "ODbL-1.0",
        "ODC-By-1.0", "OFL-1.1", "OSL-3.0", "PDDL-1.0", "PostgreSQL", "Python-2.0", "Unlicense", "UPL-1.0", "WTFPL",
        "Zlib",
    )
)  # fmt: skip
_NON_COMMERCIAL = re.compile(
    r"(?:^|[-_. ])(?:nc|mrl|mnpl|amlr|msrla|fair)(?:[-_. ]|$)|non-?_? ?commercial|non-?_? ?production|research"
    r"|^apple-ascl-nc|^exaone",
    re.IGNORECASE,
)
_UNNAMED = ("", "other", "unknown", "none", "noassertion")
_OPERATORS = ("and", "or", "with")
_LONGEST = 80
_SHOWN = 3
_TEXTS = "`edgellm show --license NAME`"


def license_note(licenses: Sequence[str], where: str = _TEXTS) -> str | None:
    """What to know before using or passing on a model under ``licenses``, SPDX expressions; ``where`` to read them.

    None when all of them are common permissive or copyleft licences. Where nobody said which licence it is, where
    commercial use is excluded and where there are terms of its own, that is the sentence.
    """
    if not any(license_id.strip() for license_id in licenses):
        return "the licence is not stated: find out what it allows before you pass the model on"
    odd = [name for name in dict.fromkeys(map(str.strip, licenses)) if name and not _is_plain(name)]
    if not odd:
        return None
    non_commercial = [name for name in odd if _NON_COMMERCIAL.search(_bare(name))]
    if non_commercial:
        return f"{_said(non_commercial)} excludes commercial use: {where}"
    if all(_bare(name).lower() in _UNNAMED for name in odd):
        return f"the licence is none of the common ones: read its terms ({where}) before you pass the model on"
    return f"{_said(odd)} has terms of its own: {where}"


def _is_plain(expression: str) -> bool:
    """True when every licence of the expression is plain, or all of one alternative."""
    if "(" not in expression:
        alternatives = re.split(r"\s+OR\s+", expression, flags=re.IGNORECASE)
        return any(_all_plain(alternative) for alternative in alternatives)
    return _all_plain(expression)


def _all_plain(expression: str) -> bool:
    text = re.sub(r"\bWITH\s+\S+", " ", expression, flags=re.IGNORECASE)  # an exception allows more, never less
    names = [name.lower() for name in re.split(r"[\s()]+", text) if name and name.lower() not in _OPERATORS]
    return bool(names) and all(re.sub(r"(?:\+|-only|-or-later)$", "", name) in _PLAIN for name in names)


def _bare(name: str) -> str:
    return name.removeprefix("LicenseRef-")


def _said(names: Sequence[str]) -> str:
    shown = [name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..." for name in names[:_SHOWN]]
    return f"the licence {', '.join(shown)}"
