"""Models as functions of their parameters, evaluated without ever touching the caller's modules."""

from ..parameters import Selection, select
from .wrapper import BATCH_NORM, MODES, GeneralModelWrapper, ModelWrapper, wrap_model

__all__ = ["BATCH_NORM", "MODES", "GeneralModelWrapper", "ModelWrapper", "Selection", "select", "wrap_model"]
