"""CMU-MOSEI early fusion: ``python main.py -l 2 -n 128 -d 0.2``."""

import sys

from emorec.cli.mosei import main

if __name__ == "__main__":
    sys.exit(main())
