"""The rows of the table: a new group is one module with ``rows(device)``, named here."""

from collections.abc import Callable, Iterator

from ..measure import Row
from . import arithmetic, curvature_map, drafts, evaluation, memory, sampling, startup, streaming

MODULES = (evaluation, arithmetic, sampling, drafts, curvature_map, memory, streaming, startup)
GROUPS: dict[str, Callable[[str], Iterator[Row]]] = {m.__name__.rpartition(".")[2]: m.rows for m in MODULES}
