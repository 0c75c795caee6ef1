"""The child: `python -m edgellm_runtimes.worker --socket-fd N --parent-fd N`."""

import sys

from edgellm_runtimes.worker.serve import main

sys.exit(main())
