"""Data from files: what is in them, which of it are inputs and targets, and tensors as a model wants them."""

from .assembly import assemble, read
from .contents import Contents, look_into
from .data import Data, DataChoices

__all__ = ["Contents", "Data", "DataChoices", "assemble", "look_into", "read"]
