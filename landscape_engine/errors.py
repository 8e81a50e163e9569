"""The exceptions of the engine: each message is one sentence a person can act on, each fact a field."""

from __future__ import annotations

from typing import Any


class LandscapeError(Exception):
    """Anything the engine refuses or fails to do.

    Args:
        message: What does not fit, where, what was expected and found, and what to do.
        **facts: The same facts as values; each becomes an attribute of the exception.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.__dict__.update(facts)


class ChoiceError(LandscapeError, ValueError):
    """A choice is outside what the engine offers. Fields: ``name``, ``value``, ``expected``."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"{name} must be {expected}, but it is {value!r}.", name=name, value=value, expected=expected)


class MismatchError(LandscapeError, ValueError):
    """Two things that must fit each other do not. Fields: ``what``, ``parameter``, ``expected``, ``found``."""


class StructureError(LandscapeError, ValueError):
    """A model is built in a way that the engine cannot follow. Fields: ``layer`` (its path), ``kind`` (its class)."""


class DirectionError(LandscapeError, ValueError):
    """A direction cannot be used, for instance because it moves nothing. Field: ``normalization``."""


class FileFormatError(LandscapeError, ValueError):
    """A file is not what it should be. Field: ``path``."""


class EvaluationError(LandscapeError, RuntimeError):
    """A metric failed at a point. Fields: ``point`` (coordinates by dimension); the cause is chained."""


class SearchError(LandscapeError, RuntimeError):
    """A search has not converged, and its caller asked for an error then. Fields: ``outcome``, ``result``."""


def first_line(error: Exception) -> str:
    """What an error says, for the inside of a sentence: one line without full stop, or its type if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
