"""Colours: dark, light, and those of the terminal itself for consoles with few."""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

__all__ = ["CHOICES", "THEMES", "choice_of", "pick_theme"]

THEMES = (
    Theme(
        name="edgellm-dark",
        primary="#3d8fd1",
        secondary="#5fb3b3",
        accent="#e5a445",
        warning="#e5a445",
        error="#e06c75",
        success="#7fbf7f",
        foreground="#dcdfe4",
        background="#12161c",
        surface="#1a2028",
        panel="#242c37",
    ),
    Theme(
        name="edgellm-light",
        primary="#1f6fb2",
        secondary="#2f7f7f",
        accent="#a8620a",
        warning="#a8620a",
        error="#b3303c",
        success="#2f7d32",
        foreground="#1e252e",
        background="#f4f6f8",
        surface="#e9edf1",
        panel="#dbe2e9",
        dark=False,
    ),
)
CHOICES = {"dark": "edgellm-dark", "light": "edgellm-light", "ansi": "ansi-dark", "ansi-light": "ansi-light"}
_FEW_COLOURS = {"linux", "vt100", "vt102", "vt220", "ansi", "cons25", "xterm-mono"}


def pick_theme(choice: str, environ: Mapping[str, str]) -> str:
    """The name of the theme for ``choice``, of ours or one that Textual has. "auto": the terminal's own sixteen colours
    on a console, else dark."""
    if choice == "auto":
        return CHOICES["ansi" if environ.get("TERM", "") in _FEW_COLOURS else "dark"]
    return CHOICES.get(choice, choice)


def choice_of(theme: str) -> str:
    """What the setting `theme` calls the theme of this name."""
    return next((choice for choice, name in CHOICES.items() if name == theme), theme)
