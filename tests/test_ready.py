"""The page that stands ready: the next browser gets it, and the server makes another once it rests."""

import re
import time
import urllib.request
from pathlib import Path

import panel as pn
import pytest
from bokeh.util.token import get_session_id, get_token_payload
from panel.io.application import build_single_handler_application

from conftest import served
from explorer import cli
from page import DEEP, choose, wait


def get(address):
    """The session that a page belongs to, and what its token says of the request."""
    request = urllib.request.Request(address, headers={"X-Visitor": "Ada"})
    html = urllib.request.urlopen(request, timeout=60).read().decode()
    token = re.search(r'"token":"([^"]+)"', html)[1]
    return get_session_id(token), get_token_payload(token)


def until(is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def by_command(port):
    return cli.serve(port, threaded=True, verbose=False)


def by_panel(port):
    """As `panel serve explorer` does it."""
    application = build_single_handler_application(Path(cli.__file__).parent)
    return pn.serve({"/explorer": application}, port=port, address="127.0.0.1", show=False, threaded=True)


@pytest.fixture
def ahead(request):
    """Address of an explorer that keeps a page ready, and the explorers it has built."""
    built = []
    with served(built, getattr(request, "param", by_command)) as address:
        until(lambda: built)
        yield address, built


@pytest.mark.parametrize("ahead", [by_command, by_panel], indirect=True)
def test_a_page_is_made_before_it_is_asked_for_and_another_once_the_server_rests(ahead):
    address, built = ahead
    first, said = get(address)
    assert len(built) == 1
    assert {**said["headers"]}["X-Visitor"] == "Ada"
    assert said["session_expiry"] > time.time()
    second, _ = get(address)  # at once: none stands ready
    assert len(built) == 2
    until(lambda: len(built) == 3)
    third, _ = get(address + "?theme=dark")  # another than the one that stands ready, which knows of no arguments
    assert len(built) == 4
    assert len({first, second, third}) == 3


@pytest.mark.browser
def test_a_page_that_has_stood_ready_is_finished_and_alive(ahead, open_page):
    address, built = ahead
    until(lambda: built[0].runner._job is not None and not built[0].runner._job.thread.is_alive())
    time.sleep(12)  # a session that nobody uses ends after 10 s
    page = open_page(address)
    page.evaluate(DEEP)
    page.get_by_text("Done").first.wait_for()
    assert len(built) == 1
    choose(page, "Metric", "Accuracy")
    page.get_by_text("training accuracy").first.wait_for()
    wait(page, lambda: built[0].state.metric == "accuracy" and built[0].state.phase == "done")
