"""The files that the page uses, and what they are."""

from __future__ import annotations

__all__ = ["FILES"]

FILES = {
    "app.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "markdown.js": "text/javascript",
    "settings.js": "text/javascript",
    "stream.js": "text/javascript",
    "style.css": "text/css",
    "turns.js": "text/javascript",
    "window.js": "text/javascript",
}
