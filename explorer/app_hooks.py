"""What `panel serve explorer` does besides serving the page."""

import sys
from pathlib import Path

# As in `main.py`: `panel serve` puts this folder on the path, where its modules would shadow others.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != _HERE]
if str(_HERE.parent) not in sys.path:
    sys.path.insert(0, str(_HERE.parent))

from explorer.ready import Ahead

_AHEAD = Ahead()
on_server_loaded, on_server_unloaded = _AHEAD.on_server_loaded, _AHEAD.on_server_unloaded
