"""The `landscape-explorer` command."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence
from typing import Any

import panel as pn

from explorer.app import page

ADDRESS = "127.0.0.1"


def free_port(first: int) -> int:
    """The first port from ``first`` on that nobody listens at."""
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
            return port
    raise SystemExit(f"No port from {first} to {first + 99} is free. Choose another with --port.")


def serve(port: int = 0, **options: Any) -> Any:
    """Serve the explorer at 127.0.0.1.

    Args:
        port: 0 takes any that is free; it can be read back as ``port`` of the server.
        **options: For ``panel.serve``.

    Returns:
        The server (with ``threaded=True`` the thread that runs it).
    """
    return pn.serve(
        {"explorer": lambda: page()},
        port=port,
        address=ADDRESS,
        show=False,
        title="Loss landscape",
        websocket_origin=[f"{ADDRESS}:{port}", f"localhost:{port}"] if port else ["*"],
        check_unused_sessions_milliseconds=1000,
        unused_session_lifetime_milliseconds=1500,
        **options,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="landscape-explorer", description="Explore a loss landscape in the browser.")
    parser.add_argument("--port", type=int, default=5006, help="first port to try (default %(default)s)")
    port = free_port(parser.parse_args(arguments).port)
    print(f"The explorer is at http://{ADDRESS}:{port}/explorer (Ctrl-C ends it).", flush=True)
    try:
        serve(port, verbose=False)
    except KeyboardInterrupt:
        pass
