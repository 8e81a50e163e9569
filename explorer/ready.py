"""Pages stand ready for those who come next: to make one takes a second, to send it a tenth of that."""

from __future__ import annotations

import gc
import logging
import math
import time
from collections import deque
from typing import Any

import panel as pn
from bokeh.application.handlers.lifecycle import LifecycleHandler
from bokeh.util.token import generate_jwt_token, generate_session_id, get_token_payload
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.ioloop import PeriodicCallback

READY = 4  # pages that stand ready, of some 15 MB each: whoever comes with three others waits for none
FIRST = 2  # of them are made before all else: who asks whether the server is there yet takes one
LOOK = 3.0  # seconds from one look at how busy the server is to the next
BUSY = 0.02  # share of a core from which on it is busy: one click in that time is enough
CONNECT = 20.0  # seconds a browser has to connect to the page it was given
SENT = 1.0  # seconds after which a page that is being made is surely sent
TOLD = {"theme", "bokeh-session-id", "bokeh-token"}  # arguments that change the page, or name a session

log = logging.getLogger(__name__)


class Anteroom:
    """Holds sessions of an application that nobody has asked for yet, and makes them while the server rests.

    Bokeh 3.9 makes a session when a browser asks for its page, and serves nothing else meanwhile. Here that is done
    before; a visit that is not a plain one, and who comes while none stands ready, is served as Bokeh does it.

    Args:
        server_context: Of the application, as a lifecycle hook gets it.
        count: How many sessions.
    """

    def __init__(self, server_context: Any, count: int) -> None:
        self._count = count
        self._context = server_context.application_context
        self._create_session = self._context.create_session_if_needed
        self._context.create_session_if_needed = self._admit
        self._standing: deque[Any] = deque()
        self._worked = 0.0
        self._looks = PeriodicCallback(self._look, 1000 * LOOK)
        self._context.io_loop.add_callback(self._begin)

    def close(self) -> None:
        """Make no other pages: the server ends."""
        self._looks.stop()
        gc.enable()

    async def _begin(self) -> None:
        """Make the first pages, then others while the server rests."""
        self._looks.start()
        for _ in range(min(FIRST, self._count)):
            await self._make()

    async def _look(self) -> None:
        """Make the next page if the process hardly worked since the last look."""
        used = time.process_time() - self._worked
        if len(self._standing) < self._count and used < BUSY * LOOK:
            await self._make()
        self._worked = time.process_time()

    async def _make(self) -> None:
        name = generate_session_id(signed=False)
        line = RequestStartLine("GET", self._context.url, "HTTP/1.1")
        request = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "localhost"}))
        try:
            session = await self._create(name, request, generate_jwt_token(name, signed=False))
        except Exception:
            self._looks.stop()  # whoever comes is told what is wrong
            log.exception("No page could be made ahead")
            return
        session.block_expiration()
        self._standing.append(session)

    async def _create(self, *asked: Any) -> Any:
        """A session. Nothing is looked through for garbage while it is made, which takes a sixth of the time."""
        gc.disable()
        self._context.io_loop.call_later(SENT, gc.enable)
        return await self._create_session(*asked)

    async def _admit(self, session_id: str, request: Any = None, token: str | None = None) -> Any:
        """The session that a browser asks for: one that stands ready, if it may be any."""
        if not self._standing or not self._is_plain(request, token):
            return await self._create(session_id, request, token)
        session, self._worked = self._standing.popleft(), 0.0  # the next look finds it busy
        said = dict(get_token_payload(token))
        lasts = math.ceil(said.pop("session_expiry") - time.time())
        session._token = generate_jwt_token(session.id, signed=False, extra_payload=said, expiration=lasts)
        self._context.io_loop.call_later(CONNECT, session.unblock_expiration)
        return session

    def _is_plain(self, request: Any, token: str | None) -> bool:
        """Whether somebody asks for a page, whoever it is and whichever session: none that is signed, or one's own."""
        return (
            request is not None
            and token is not None
            and "." not in token  # behind which the signature would stand
            and request.path.endswith(self._context.url)  # after a prefix, if the server has one
            and not (request.arguments.keys() & TOLD or request.cookies.keys() & {"user", "is_guest"})
            and "Bokeh-Session-Id" not in request.headers
            and not pn.config.reuse_sessions
        )


class Ahead(LifecycleHandler):
    """Added to a Bokeh application, gives it an anteroom.

    Args:
        count: How many pages stand ready in it; None is ``READY``.
    """

    def __init__(self, count: int | None = None) -> None:
        super().__init__()
        self._count = count
        self._room: Anteroom | None = None

    def on_server_loaded(self, server_context: Any) -> None:
        """Begin, unless code that changes is watched: what was made before would be out of date."""
        if not pn.config.autoreload:
            self._room = Anteroom(server_context, READY if self._count is None else self._count)

    def on_server_unloaded(self, server_context: Any) -> None:
        """End."""
        if self._room is not None:
            self._room.close()
