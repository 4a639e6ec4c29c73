"""The exceptions of tinytorch. Each is also the built-in one that fits, so that either can be caught."""

from __future__ import annotations

__all__ = ["Error", "FileNotFound", "FileProblem", "InvalidType", "InvalidValue"]


class Error(Exception):
    """Whatever tinytorch refuses or cannot do: one sentence that says what was wrong and what to do."""


class InvalidValue(Error, ValueError):
    """A value, a shape, a name or a file's content that does not fit."""


class InvalidType(Error, TypeError):
    """Something of another type than is taken, such as an array of strings."""


class FileProblem(Error, OSError):
    """What the file system refuses."""


class FileNotFound(FileProblem, FileNotFoundError):
    """A file that is not there."""
