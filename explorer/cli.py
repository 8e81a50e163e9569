"""The `landscape-explorer` command."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import panel as pn
from panel.io.application import build_applications

from explorer import course
from explorer.page import page
from explorer.ready import READY, Ahead
from landscape_engine import LandscapeError

ADDRESS = "127.0.0.1"
UNUSED = 10.0  # seconds after which a page ends that no browser is connected to


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


def serve(port: int = 0, models: Sequence[str] = (), ahead: int | None = None, **options: Any) -> Any:
    """Serve the explorer at 127.0.0.1.

    Args:
        port: 0 takes any that is free; it can be read back as ``port`` of the server.
        models: Keys of models that can be chosen beside the samples (see ``subjects.offer``).
        ahead: How many pages stand ready before anybody asks for them; None is ``ready.READY``.
        **options: For ``panel.serve``.

    Returns:
        The server (with ``threaded=True`` the thread that runs it).
    """
    application = build_applications({"/explorer": lambda: page(models)}, title="Loss landscape")["/explorer"]
    if ahead != 0:
        application.add(Ahead(ahead))
    return pn.serve(
        {"/explorer": application},
        port=port,
        address=ADDRESS,
        show=False,
        websocket_origin=[f"{ADDRESS}:{port}", f"localhost:{port}"] if port else ["*"],
        check_unused_sessions_milliseconds=1000,
        unused_session_lifetime_milliseconds=int(1000 * UNUSED),
        **options,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and serve until Ctrl-C."""
    given = parsed(arguments)
    try:
        models = chosen(given)
    except LandscapeError as error:
        print(f"landscape-explorer: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    port = free_port(given.port)
    print(f"The explorer is at http://{ADDRESS}:{port}/explorer (Ctrl-C ends it).", flush=True)
    try:
        serve(port, models, given.ready, verbose=False)
    except KeyboardInterrupt:
        pass


def _count(text: str) -> int:
    """A number that is not negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, but it is '{text}'")
    return int(text)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was given on the command line."""
    parser = argparse.ArgumentParser(prog="landscape-explorer", description="Explore a loss landscape in the browser.")
    parser.add_argument("course", nargs="?", metavar="COURSE.toml", help="a file that names several models")
    parser.add_argument("--model", metavar="MODULE:OBJECT", help="your network, or a function that returns it")
    parser.add_argument("--data", metavar="MODULE:OBJECT|FILE", help="what it is measured on")
    parser.add_argument("--checkpoints", nargs="+", metavar="PATH", help="of its training: a folder, or files")
    parser.add_argument("--loss", metavar="NAME|MODULE:OBJECT", help="by default the one that fits")
    parser.add_argument("--name", help="what the page calls it")
    parser.add_argument("--port", type=int, default=5006, help="first port to try (default %(default)s)")
    ready = (
        "pages made before they are asked for, while the server rests: as many as come at once (default %(default)s)"
    )
    parser.add_argument("--ready", type=_count, default=READY, metavar="N", help=ready)
    return parser.parse_args(arguments)


def chosen(given: argparse.Namespace) -> list[str]:
    """The keys of the models that were named.

    Raises:
        LandscapeError: If something named cannot be used.
    """
    table = {key: getattr(given, key) for key in course.KEYS if getattr(given, key) is not None}
    models = [course.entry(table, Path.cwd())] if table else []
    return [*models, *(course.read(given.course) if given.course is not None else [])]
