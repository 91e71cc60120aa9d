"""`python -m svdlab` is the `svdlab` command."""

import sys

from svdlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
