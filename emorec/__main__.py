"""``python -m emorec``."""

import sys

from emorec.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
