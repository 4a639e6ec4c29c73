"""The command ``tinytorch``: ``python -m tinytorch audit --help``."""

from __future__ import annotations

import signal
import sys

from tinytorch import _tinytorch

__all__ = ["main"]


def main() -> int:
    """Runs the command line of this process and returns its exit code: 0 if all is good, 1 if a gate failed, 2 for bad
    usage or input."""
    # The work is not Python's, whose handler would only run when it is done: Ctrl-C ends the command.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    again = (sys.executable, ["-m", "tinytorch"]) if sys.executable else None
    return _tinytorch.main(["tinytorch", *sys.argv[1:]], again)


if __name__ == "__main__":
    sys.exit(main())
