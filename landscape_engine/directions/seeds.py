"""Random directions that are kept as seeds: their tensors are made again whenever they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, final

import torch
from torch import Tensor

from ..errors import DirectionError
from ..models import ModelWrapper
from ..normalization import Factor, check_that_it_moves, factors, moving_names, stretched
from ..parameters import Parameters, as_bytes, cut, dot, label, pieces

Products = list[list[float]]
Result = TypeVar("Result")


def draw(shape: Sequence[int], seed: int, axis: int, name: str) -> Iterator[Tensor]:
    """Standard normal float32 numbers, piece by piece (see ``parameters.cut``), made anew wherever they are needed.

    They depend on nothing but the key, so that they can be drawn again.
    """
    key = hashlib.sha256(f"{seed}/{axis}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
    for rows in cut(shape) or [1]:
        yield torch.randn((rows, *shape[1:]) if shape else (), generator=generator, dtype=torch.float32, device="cpu")


@final
class Seeds:
    r"""Random directions of which are kept the seed, the shares that make them orthogonal, and a factor a filter.

    Direction k is :math:`d_k = f_k \odot v_k`, where :math:`v_k = g_k - \sum_{j<k} s_{kj} v_j` and :math:`g_k` are the
    numbers drawn. Shares and factors are found once, when the directions are made; they stay what they are whatever
    becomes of the model. All is worked on in pieces of some ten thousand numbers, so next to nothing is held.

    Args:
        model: The model at the origin.
        count: How many directions.
        normalization: See ``normalize``.
        seed: Any integer.
        one_dimensional: Move biases and norm-layer weights too under ``"layer"`` and ``"filter"``.
        first_axis: Key of the first direction.

    Attributes:
        like: Tensors without numbers that have the shapes.
        dtype: In which directions are given out.
        zeros: How many filters or layers stay put, because their norm in the model is zero.
        products: By name, the inner products of the tensors of the directions.
        fingerprints: Of each direction (see ``parameters.fingerprint``).

    Raises:
        ChoiceError: If the normalization is unknown.
        DirectionError: If nothing would move.
    """

    def __init__(
        self,
        model: ModelWrapper,
        count: int,
        normalization: str = "filter",
        seed: int = 0,
        one_dimensional: bool = False,
        first_axis: int = 0,
    ) -> None:
        self.like: Parameters = {n: torch.empty_like(p, device="meta") for n, p in model.parameters.items()}
        self.dtype, self._devices = model.dtype, {n: p.device for n, p in model.parameters.items()}
        self._seed, self._axes = seed, range(first_axis, first_axis + count)
        self._moving = frozenset(moving_names(model, normalization, one_dimensional))
        self._shares: list[list[float]] = [[] for _ in self._axes]
        self._factors: list[dict[str, Factor]] = [dict.fromkeys(self.like, 1.0) for _ in self._axes]
        self.directions = tuple(SeededDirection(self, k) for k in range(count))
        if self._moving:
            self._orthogonalize()
        found = [factors(d, model, normalization) for d in self.directions]
        self._factors, self.zeros = [f.values for f in found], found[0].zeros
        self.products, self.fingerprints = self._measured()
        for k in range(count):
            check_that_it_moves(any(p[k][k] > 0 for p in self.products.values()), normalization)

    def _orthogonalize(self) -> None:
        """Find the shares, as ``orthogonalize`` does."""
        squares: list[float] = []
        for k in range(len(self._axes)):
            start = left = 1.0
            for j in range(k):
                own, other, product = self._sums(k, j)
                start, left = (own, own) if j == 0 else (start, left)
                squares += [other] if j == len(squares) else []
                self._shares[k].append(product / squares[j] if squares[j] else 0.0)
                left -= self._shares[k][j] ** 2 * squares[j]
            if left <= 1e-12 * start:
                raise DirectionError(
                    "the directions span no plane: one of them is a combination of the others. Choose a line, or let "
                    "more parameters move.",
                    normalization=None,
                )

    def _sums(self, k: int, j: int) -> tuple[float, float, float]:
        """Inner products of direction k, as far as its shares are known, with itself; of j with itself; of both."""

        def of(name: str) -> list[float]:
            pairs = (((v[k], v[k]), (v[j], v[j]), (v[k], v[j])) for v in self._drawn(name, k + 1))
            return [sum(found) for found in zip(*([dot(a, b) for a, b in three] for three in pairs), strict=True)]

        own, other, both = (sum(found) for found in zip(*self._each(of), strict=True))
        return own, other, both

    def _each(self, work: Callable[[str], Result]) -> list[Result]:
        """What is done for each tensor, by as many threads as PyTorch may use; on a GPU by one, whose stream counts."""
        threads = torch.get_num_threads() if all(d.type == "cpu" for d in self._devices.values()) else 1
        if threads == 1:
            return [work(name) for name in self.like]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, self.like))

    def _measured(self) -> tuple[dict[str, Products], list[str]]:
        """The inner products and the fingerprints, from one pass over the numbers."""
        found, every = {}, range(len(self._axes))
        digests = [hashlib.sha256() for _ in every]
        for name in sorted(self.like):
            products = [[0.0 for _ in every] for _ in every]
            for digest in digests:
                digest.update(label(name, self.like[name].shape, self.dtype))
            for vectors in self._stretched(name, every):
                for i, a in enumerate(vectors):
                    digests[i].update(as_bytes(a))
                    for j, b in enumerate(vectors[: i + 1]):
                        products[i][j] += dot(a, b)
            found[name] = [[products[max(i, j)][min(i, j)] for j in every] for i in every]
        return {n: found[n] for n in self.like}, [d.hexdigest()[:16] for d in digests]

    def _drawn(self, name: str, count: int) -> Iterator[list[Tensor]]:
        """Pieces of the first directions before they are normalized, orthogonal to each other."""
        shape, device = self.like[name].shape, self._devices[name]
        if name not in self._moving:
            for rows in cut(shape) or [1]:
                nothing = torch.zeros((rows, *shape[1:]) if shape else (), dtype=self.dtype, device=device)
                yield [nothing] * count
            return
        for numbers in zip(*(draw(shape, self._seed, axis, name) for axis in self._axes[:count]), strict=True):
            vectors: list[Tensor] = []
            for number, shares in zip(numbers, self._shares, strict=False):
                vector = number.to(device, self.dtype)
                for share, other in zip(shares, vectors, strict=False):
                    vector = vector - share * other
                vectors.append(vector)
            yield vectors

    def _stretched(self, name: str, wanted: Sequence[int]) -> Iterator[list[Tensor]]:
        """Pieces of some directions, normalized."""
        parts = [self._factor(k, name) for k in wanted]
        for vectors, *by in zip(self._drawn(name, max(wanted) + 1), *parts, strict=True):
            yield [stretched(vectors[k], factor) for k, factor in zip(wanted, by, strict=True)]

    def _factor(self, k: int, name: str) -> Sequence[Factor]:
        """What the pieces of a tensor are multiplied by."""
        factor, shape = self._factors[k][name], self.like[name].shape
        sizes = cut(shape) or [1]
        if isinstance(factor, Tensor) and len(sizes) > 1 and len(factor) == shape[0]:
            return factor.split(sizes)
        return [factor] * len(sizes)

    def tensor(self, name: str, k: int) -> Tensor:
        """One tensor of one direction."""
        whole = torch.empty(self.like[name].shape, dtype=self.dtype, device=self._devices[name])
        for place, (piece,) in zip(pieces(whole), self._stretched(name, [k]), strict=True):
            place.copy_(piece)
        return whole

    def point(self, origin: Parameters, coordinates: Sequence[float]) -> Parameters:
        """The point that ``parameters.combine`` makes of stored directions; no direction is ever whole.

        Of a model of half precision, whose points are formed in a larger type and then cast, not even the point is.
        """
        moving = {k: float(c) for k, c in enumerate(coordinates) if c != 0}
        if any(like.dtype != self.dtype for like in self.like.values()):
            return SeededPoint(self, origin, moving)
        tensors = self._each(lambda name: self.moved(name, origin[name], moving))
        return dict(zip(self.like, tensors, strict=True))

    def moved(self, name: str, start: Tensor, moving: Mapping[int, float]) -> Tensor:
        """A tensor of the origin, moved along some directions by some amounts."""
        if not moving or name not in self._moving:
            return start
        there = torch.empty_like(start)
        axes, amounts = [*moving], [*moving.values()]
        for place, here, vectors in zip(pieces(there), pieces(start), self._stretched(name, axes), strict=True):
            for c, vector in zip(amounts, vectors, strict=True):
                here = torch.add(here, vector, alpha=c)
            place.copy_(here)
        return there


class _Seeded(Mapping[str, Tensor]):
    """Tensors that are made each time they are asked for."""

    seeds: Seeds

    def __iter__(self) -> Iterator[str]:
        return iter(self.seeds.like)

    def __len__(self) -> int:
        return len(self.seeds.like)

    def __contains__(self, name: object) -> bool:
        return name in self.seeds.like


@final
class SeededDirection(_Seeded):
    """A direction whose tensors are made each time they are asked for.

    Args:
        seeds: The directions that it belongs to.
        place: Which of them it is.
    """

    def __init__(self, seeds: Seeds, place: int) -> None:
        self.seeds, self.place = seeds, place

    def __getitem__(self, name: str) -> Tensor:
        return self.seeds.tensor(name, self.place)

    @property
    def fingerprint(self) -> str:
        """What ``parameters.fingerprint`` is of it, known since it was made."""
        return self.seeds.fingerprints[self.place]


@final
class SeededPoint(_Seeded):
    """A point whose tensors are made each time they are asked for.

    Args:
        seeds: The directions.
        origin: Where they start.
        moving: How far to go along some of them.
    """

    def __init__(self, seeds: Seeds, origin: Parameters, moving: Mapping[int, float]) -> None:
        self.seeds, self.origin, self.moving = seeds, origin, moving

    def __getitem__(self, name: str) -> Tensor:
        return self.seeds.moved(name, self.origin[name], self.moving)


def seeds_of(directions: Sequence[Parameters]) -> Seeds | None:
    """What directions are made from, if they are all those of one seed, in their order."""
    first = directions[0] if directions else None
    if not isinstance(first, SeededDirection) or len(directions) != len(first.seeds.directions):
        return None
    same = all(a is b for a, b in zip(directions, first.seeds.directions, strict=True))
    return first.seeds if same else None
