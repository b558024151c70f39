"""python -m jko."""

import sys

from jko.cli import main

if __name__ == "__main__":
    sys.exit(main())
