"""A bar that shows how far long work is, on terminals and in notebooks."""

from __future__ import annotations

import sys
from typing import Callable, Optional

from tinytorch._types import Progress

__all__ = ["shown"]

WIDTH = 24


def shown(progress: Progress) -> Optional[Callable[[str, int, int], None]]:
    """What to call with what is done: a bar for ``True``, and for ``None`` if somebody looks."""
    if progress is None:
        progress = _somebody_looks()
    if isinstance(progress, bool):
        return Bar().step if progress else None
    return progress


def _somebody_looks() -> bool:
    # Notebooks show what is written to stderr, but say that it is no terminal.
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


class Bar:
    """One line on stderr, written again with each step and gone at the end."""

    def __init__(self) -> None:
        self.longest = 0

    def step(self, what: str, done: int, of: int) -> None:
        """Draws ``done`` of ``of`` steps; ``of`` is 0 where nobody knows how many there are."""
        filled = WIDTH * done // of if of else 0
        line = f"{what} [{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{of}" if of else f"{what} {done}"
        self.longest = max(self.longest, len(line))
        is_done = bool(of) and done >= of
        sys.stderr.write("\r" + (" " * self.longest + "\r" if is_done else line.ljust(self.longest)))
        sys.stderr.flush()
