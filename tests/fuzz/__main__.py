"""The command; the work is in a module that processes which are spawned can import."""

import sys

from tests.fuzz.campaign import main

if __name__ == "__main__":
    sys.exit(main())
