"""Fixtures: a sample to measure; for the browser, one Chromium a session, one server, one guarded context a test."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import warnings

import pytest
import torch

from page import DEEP, wait, wait_for_surface

ARGUMENTS = (
    "--headless=new --no-sandbox --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader "
    "--disable-gpu-rasterization --disable-accelerated-2d-canvas"  # of a GPU that is none, only WebGL is needed
).split()
torch.set_num_threads(1)  # two threads of a small product wait for each other on a busy machine

KERAS_HOME = tempfile.TemporaryDirectory()  # Keras writes its settings as soon as it is imported
os.environ |= {"KERAS_HOME": KERAS_HOME.name, "KERAS_BACKEND": "torch"}

LOCAL = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")


@pytest.hookimpl(tryfirst=True)  # before they are chosen by their marks
def pytest_collection_modifyitems(items):
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker("browser")


@pytest.fixture(autouse=True)
def forgetful():
    """Each test computes its own pictures; who tests that they are remembered sees what it has computed itself."""
    if "explorer.sources" in sys.modules:
        for source in list(sys.modules["explorer.sources"]._loaded.values()):
            source._seen.clear()
            source.pace.clear()


@pytest.fixture(scope="module")
def digits():
    import sample_models

    return sample_models.load("digits_mlp")


@pytest.fixture(scope="module")
def loss(digits):
    from landscape_engine.metrics import Loss

    return Loss(digits.loss_function, *digits.train)


@pytest.fixture(scope="module")
def plane(digits):
    import landscape_engine as le

    return le.Plane.random(digits.model, seed=0)


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    from install_browser import find_browser

    path = find_browser()
    assert path, "no browser found: run `make test`, which installs one"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def served(explorers, serve):
    """Address of an explorer that is served meanwhile at the port that ``serve`` is called with, in a thread.

    Every explorer that is built goes into the list, newest last.
    """
    os.environ.setdefault("BOKEH_RESOURCES", "server")
    from explorer import cli, page

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        build = page.Explorer

        class Remembered(build):
            def __init__(self, **choices):
                super().__init__(**choices)
                explorers.append(self)

        page.Explorer = Remembered
        port = cli.free_port(5100)
        server = serve(port)
    try:
        yield f"http://127.0.0.1:{port}/explorer"
    finally:
        for explorer in explorers:
            explorer.runner.close()  # as the end of its session does
        server.stop()
        server.join(10)
        page.Explorer = build


@pytest.fixture(scope="session")
def explorers():
    """Every explorer that the server has built, newest last."""
    return []


@pytest.fixture(scope="session")
def address(explorers):
    """Address of a running explorer that makes a page once it is asked for."""
    from explorer import cli

    with served(explorers, lambda port: cli.serve(port, ahead=0, threaded=True, verbose=False)) as running:
        yield running
    for thread in threading.enumerate():
        if thread.name == "landscape":
            thread.join(10)
            assert not thread.is_alive(), "a run went on after its session had ended"


@pytest.fixture
def open_page(browser):
    """Opens pages that may not ask for anything outside this machine, nor write an error to the console."""
    contexts, foreign, errors = [], [], []

    def guard(route):
        if route.request.url.startswith(LOCAL):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    def open_one(url, width=1440, height=900, color_scheme="light"):
        # A pulse or a surface that moves from one shape to the next would be most of the work of a browser without GPU.
        asked = {"reduced_motion": "reduce", "color_scheme": color_scheme}
        context = browser.new_context(viewport={"width": width, "height": height}, **asked)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.route("**/*", guard)
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert foreign == []
    assert errors == []


@pytest.fixture
def visit(open_page, address, explorers):
    """Opens the page and returns it with the explorer behind it, its first run finished."""

    def visit_one(finished=True, **size):
        known = len(explorers)
        page = open_page(address, **size)
        page.evaluate(DEEP)
        wait(page, lambda: len(explorers) > known)
        explorer = explorers[-1]
        if finished:
            wait(page, lambda: explorer.state.phase == "done")
            page.get_by_text("Done").first.wait_for()
            wait_for_surface(page)
        return page, explorer

    return visit_one
