"""The page that `panel serve explorer` serves."""

import sys
from pathlib import Path

# `panel serve` puts this folder itself on the path, where its modules would shadow others.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != _HERE]
if str(_HERE.parent) not in sys.path:
    sys.path.insert(0, str(_HERE.parent))

from explorer.page import page

page().servable()
