"""What a person drops into the page: where it is kept, what is understood of it, what was chosen for it."""

from .findings import Findings, Network, sentence
from .inbox import Inbox
from .opening import Opening

__all__ = ["Findings", "Inbox", "Network", "Opening", "sentence"]
