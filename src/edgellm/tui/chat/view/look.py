"""The colours of a transcript, from those of the app's theme."""

from __future__ import annotations

from typing import NamedTuple

from textual.app import App

__all__ = ["Look", "look_of"]


class Look(NamedTuple):
    """Colours as Rich writes them. ``code_theme`` is one of Pygments'."""

    accent: str
    muted: str
    warning: str
    code_background: str  # "default" for the terminal's own
    code_theme: str


def look_of(app: App[object]) -> Look:
    """The look that goes with the theme of ``app``."""
    theme = app.current_theme
    if theme.name.startswith("ansi") or theme.name == "textual-ansi":
        return Look("blue", "bright_black", "yellow", "default", "ansi_dark" if theme.dark else "ansi_light")
    variables = app.theme_variables
    return Look(
        accent=_hex(variables.get("primary"), "#3d8fd1"),
        muted="#8b94a3" if theme.dark else "#5c6673",
        warning=_hex(variables.get("warning"), "#e5a445"),
        code_background=_hex(variables.get("surface"), "#1a2028"),
        code_theme="github-dark" if theme.dark else "friendly",
    )


def _hex(value: str | None, default: str) -> str:
    """``value`` where it is a colour of six digits; variables may have an opacity, which Rich does not know."""
    if value is None or not value.startswith("#"):
        return default
    return value[:7] if len(value) >= 7 else default
