"""The rows of the table: a new group is one module with ``rows(device)``, named here."""

from collections.abc import Callable, Iterator

from ..measure import Row
from . import arithmetic, evaluation, memory, sampling, startup

GROUPS: dict[str, Callable[[str], Iterator[Row]]] = {
    module.__name__.rpartition(".")[2]: module.rows for module in (evaluation, arithmetic, sampling, startup, memory)
}
