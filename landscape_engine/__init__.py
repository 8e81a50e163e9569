"""Evaluate any quantity of a neural network on points, lines, planes and curves of its parameter space."""

import lazy_loader

# Declared in __init__.pyi, imported when first used: what they need takes a second.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
