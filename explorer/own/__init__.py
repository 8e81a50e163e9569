"""A model of the caller's with its data, loss and checkpoints, looked at before anything runs."""

from .checks import check
from .model import LOSS_LABELS, Own
from .preview import Preview

__all__ = ["LOSS_LABELS", "Own", "Preview", "check"]
