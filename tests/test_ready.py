"""The pages that stand ready: the next browsers get them, and the server makes others once it rests."""

import gc
import re
import time
import urllib.request
from pathlib import Path

import panel as pn
import pytest
from bokeh.util.token import check_token_signature, generate_jwt_token, get_session_id, get_token_payload
from panel.io.application import build_single_handler_application

from conftest import served
from explorer import cli, controls, ready
from page import DEEP, choose, wait

TOKEN = r'"token":"([^"]+)"'


def get(address, **headers):
    """The session that a page belongs to, and what its token says of the request."""
    request = urllib.request.Request(address, headers={"X-Visitor": "Ada", **headers})
    html = urllib.request.urlopen(request, timeout=60).read().decode()
    token = re.search(TOKEN, html)[1]
    return get_session_id(token), get_token_payload(token)


def until(is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def by_command(port):
    return cli.serve(port, ahead=2, threaded=True, verbose=False)


def by_panel(port):
    """As `panel serve explorer` does it."""
    application = build_single_handler_application(Path(cli.__file__).parent)
    return pn.serve({"/explorer": application}, port=port, address="127.0.0.1", show=False, threaded=True)


@pytest.fixture
def ahead(request, monkeypatch):
    """Address of an explorer that keeps two pages ready, and the explorers it has built; all of it is quick."""
    monkeypatch.setattr(ready, "READY", 2)
    monkeypatch.setattr(ready, "LOOK", 0.5)
    monkeypatch.setattr(cli, "UNUSED", 1.0)
    built = []
    with served(built, getattr(request, "param", by_command)) as address:
        until(lambda: built)
        yield address, built


@pytest.mark.parametrize("ahead", [by_command, by_panel], indirect=True)
def test_pages_are_made_before_they_are_asked_for_and_others_once_the_server_rests(ahead):
    address, built = ahead
    until(lambda: len(built) == 2)
    time.sleep(2)
    asked = time.time()
    first, said = get(address)
    assert {**said["headers"]}["X-Visitor"] == "Ada"
    assert said["session_expiry"] >= int(asked) + 300, "counted from the visit"
    second, _ = get(address)  # at once: another stands ready
    assert len(built) == 2
    third, _ = get(address)  # and now none
    assert len(built) == 3
    until(lambda: len(built) == 5)
    time.sleep(3)
    assert len(built) == 5, "two stand ready, which are enough"
    themed, _ = get(address + "?theme=dark")  # what stands ready does not know of it
    assert len(built) == 6
    named, _ = get(address, **{"Bokeh-Session-Id": "Ada's"})
    assert len(built) == 7 and named == "Ada's"
    same, _ = get(f"{address}?bokeh-token={generate_jwt_token('Bob')}")
    assert len(built) == 8 and same == "Bob"
    get(address + "?from=the-syllabus")  # an argument that means nothing to the page
    assert len(built) == 8
    assert len({first, second, third, themed, named}) == 5


def test_a_server_that_has_begun_has_a_page_left_for_who_comes_after_the_first_question(monkeypatch):
    monkeypatch.setattr(ready, "LOOK", 60.0)
    built = []
    with served(built, lambda port: cli.serve(port, threaded=True, verbose=False)) as address:
        until(lambda: built)
        first, _ = get(address)
        second, _ = get(address)
        assert len(built) == 2 and first != second
        get(address)
        assert len(built) == 3


def test_nothing_is_looked_through_for_garbage_while_a_page_is_made(ahead, monkeypatch):
    looked, drawer = [], controls.drawer
    monkeypatch.setattr(controls, "drawer", lambda *given: looked.append(gc.isenabled()) or drawer(*given))
    get(ahead[0] + "?theme=dark")
    assert looked and not any(looked)
    until(gc.isenabled)


def test_what_stands_ready_is_given_behind_a_prefix_too(monkeypatch):
    monkeypatch.setattr(ready, "READY", 1)
    built = []
    with served(built, lambda port: cli.serve(port, threaded=True, verbose=False, prefix="class")) as address:
        until(lambda: built)
        get(address.replace("/explorer", "/class/explorer"))
        assert len(built) == 1


def test_who_asks_for_a_signed_session_gets_one():
    key = {"secret_key": b"of the server", "sign_sessions": True}
    built = []
    with served(built, lambda port: cli.serve(port, threaded=True, verbose=False, **key)) as address:
        until(lambda: built)
        html = urllib.request.urlopen(address, timeout=60).read().decode()
        assert check_token_signature(re.search(TOKEN, html)[1], secret_key=key["secret_key"], signed=True)


def test_a_page_that_was_given_away_and_never_opened_ends(ahead, monkeypatch):
    monkeypatch.setattr(ready, "CONNECT", 0.5)
    address, built = ahead
    get(address)
    until(lambda: built[0].runner._loop is None)


@pytest.mark.browser
def test_a_page_that_has_stood_ready_is_alive(ahead, open_page):
    address, built = ahead
    time.sleep(3)  # a session that nobody uses ends after a second
    page = open_page(address)
    page.evaluate(DEEP)
    page.get_by_text("Done").first.wait_for()
    choose(page, "Metric", "Accuracy")
    page.get_by_text("training accuracy").first.wait_for()
    wait(page, lambda: built[0].state.metric == "accuracy" and built[0].state.phase == "done")
