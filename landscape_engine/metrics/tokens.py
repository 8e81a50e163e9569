"""Losses of sequences: of outputs that have the classes in the last dimension, as language models give them."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn


@final
class TokenCrossEntropy(nn.CrossEntropyLoss):
    r"""The cross entropy of tokens, the mean of :math:`-\log \mathrm{softmax}(z_{it})_{y_{it}}` over those that count.

    It is in nats, and differs from ``torch.nn.CrossEntropyLoss`` in nothing but where the classes are: outputs
    :math:`z` are (n, T, V) and targets :math:`y` (n, T), whole numbers below V or ``ignore_index`` (-100), which do not
    count.

    References:
        Goodfellow, Bengio, Courville 2016, Deep Learning, section 12.4 (neural language models).
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of outputs (n, T, V) and targets (n, T)."""
        return super().forward(input.movedim(-1, 1), target)


@final
class TokenNLL(nn.NLLLoss):
    r"""The negative log-likelihood of tokens, the mean of :math:`-z_{it y_{it}}` over those that count, in nats.

    It is ``TokenCrossEntropy`` of outputs :math:`z` (n, T, V) that are log-probabilities already; targets :math:`y` are
    (n, T), whole numbers below V or ``ignore_index`` (-100), which do not count.

    References:
        Goodfellow, Bengio, Courville 2016, Deep Learning, section 12.4 (neural language models).
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of outputs (n, T, V) and targets (n, T)."""
        return super().forward(input.movedim(-1, 1), target)
