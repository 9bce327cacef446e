"""``python -m unlearnkit``: the same as the command ``unlearnkit``."""

import sys

from unlearnkit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
