"""A page stands ready for whoever comes next: to make one takes a second, to send it a tenth of that."""

from __future__ import annotations

import logging
import time
from typing import Any

from bokeh.application.handlers.lifecycle import LifecycleHandler
from bokeh.util.token import generate_jwt_token, generate_session_id, get_token_payload
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.ioloop import PeriodicCallback

LOOK = 3.0  # seconds from one look at how busy the server is to the next
BUSY = 0.1  # share of a core from which on it is busy
CONNECT = 20.0  # seconds a browser has to connect to the page it was given

log = logging.getLogger(__name__)


class Anteroom:
    """Holds one session of an application that nobody has asked for yet, and makes it while the server rests.

    Bokeh 3.9 makes a session when a browser asks for its page, and serves nothing else meanwhile. Here that is done
    before; who comes while none stands ready, or asks with arguments, is served as Bokeh does it.

    Args:
        server_context: Of the application, as a lifecycle hook gets it.
    """

    def __init__(self, server_context: Any) -> None:
        self._context = server_context.application_context
        self._create = self._context.create_session_if_needed
        self._context.create_session_if_needed = self._admit
        self._standing: Any = None
        self._worked = 0.0
        self._looks = PeriodicCallback(self._look, 1000 * LOOK)
        self._context.io_loop.add_callback(self._make)
        self._context.io_loop.add_callback(self._looks.start)

    async def _look(self) -> None:
        """Make the next page if the process hardly worked since the last look."""
        worked = time.process_time()
        used, self._worked = worked - self._worked, worked
        if self._standing is None and used < BUSY * LOOK:
            await self._make()

    async def _make(self) -> None:
        name = generate_session_id()
        line = RequestStartLine("GET", self._context.url, "HTTP/1.1")
        request = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "localhost"}))
        try:
            session = await self._create(name, request, generate_jwt_token(name))
        except Exception:
            self._looks.stop()  # whoever comes is told what is wrong
            log.exception("No page could be made ahead")
            return
        session.block_expiration()
        self._standing = session

    async def _admit(self, session_id: str, request: Any = None, token: str | None = None) -> Any:
        """The session that a browser asks for: the one that stands ready, if it may be any."""
        is_visit = request is not None and request.path == self._context.url and not request.arguments
        if self._standing is None or not is_visit:
            return await self._create(session_id, request, token)
        session, self._standing, self._worked = self._standing, None, 0.0  # the next look finds it busy
        said = {key: value for key, value in get_token_payload(token).items() if not key.startswith("session_")}
        session._token = generate_jwt_token(session.id, extra_payload=said)  # that it was made with may be out of date
        self._context.io_loop.call_later(CONNECT, session.unblock_expiration)
        return session


class Ahead(LifecycleHandler):
    """Added to a Bokeh application, gives it an anteroom."""

    def __init__(self) -> None:
        super().__init__()
        self._on_server_loaded = Anteroom
