"""edgellm: pack language models for small devices and run them there."""

from edgellm.version import __version__

__all__ = ["__version__"]
