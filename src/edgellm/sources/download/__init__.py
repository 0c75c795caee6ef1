"""Files of a hub onto this disk: several connections, resumed after a kill, verified, by one process at a time."""

from edgellm.sources.download.files import download_files, missing_bytes
from edgellm.sources.download.leftovers import Download, list_downloads, remove_downloads
from edgellm.sources.download.locks import exclusive, held, locked_file

__all__ = [
    "Download",
    "download_files",
    "exclusive",
    "held",
    "list_downloads",
    "locked_file",
    "missing_bytes",
    "remove_downloads",
]
