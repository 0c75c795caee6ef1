"""`edgellm serve` that writes down what it asks of the file system: usage: audited_serve.py RECORD serve [OPTIONS]"""

from __future__ import annotations

import os
import sys

PROBE = "edgellm-probe"
_CALLS = ("open", "os.", "shutil.", "glob.", "pathlib.", "subprocess.", "tempfile.", "socket.connect", "import")


def main() -> None:
    descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(_CALLS) and PROBE in repr(arguments):
            os.write(descriptor, f"{event} {arguments!r}\n".encode("utf-8", "backslashreplace"))

    from edgellm.cli.main import main as edgellm

    sys.addaudithook(heard)
    edgellm(sys.argv[2:])


if __name__ == "__main__":
    main()
