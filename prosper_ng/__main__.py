"""`python -m prosper_ng` is the command `prosper-ng`."""

import sys

from prosper_ng.cli import main

sys.exit(main())
