"""The explorer in a real JupyterLab: a live model, its pictures, and what is wrong in a sentence."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from playwright.sync_api import expect

from explorer.numbers import format_number
from page import DEEP, choose, wait

ROOT = Path(__file__).parent.parent
QUIET = (  # no news, no look for updates or extensions: nothing leaves the machine
    "--LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate "
    "--LabApp.extension_manager=readonly --ServerApp.ip=127.0.0.1 --no-browser --allow-root --IdentityProvider.token="
).split()
NETWORK = """
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
X, y = torch.randn(120, 4), torch.arange(120) % 3
"""
TRAIN = """
import landscape_engine as le
recorder, optimizer = le.TrajectoryRecorder(model), torch.optim.SGD(model.parameters(), lr=0.3)
for step in range(4):
    recorder.record(step)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(X), y).backward()
    optimizer.step()
"""
LIVE = """
import threading
from explorer import Explorer
data = {"train": (X, y), "test": (X, y)}
explorer = Explorer(model, data, checkpoints=recorder.trajectory(), resolution=33, tolerance=10)
explorer.state.param.watch(lambda event: setattr(explorer.state, "message", threading.current_thread().name), "t")
explorer
"""
PICTURES = """
import landscape_engine as le
from explorer import contours, profile, surface
from landscape_engine.metrics import Loss
loss = Loss(nn.functional.cross_entropy, X, y)
plane = le.random_plane(model, loss, steps=9, seed=0)
display(contours(plane), surface(plane))
profile(le.random_line(model, loss, steps=9, seed=0))
"""
WRONG = """
from explorer import Explorer
Explorer(model, data=(X, y[:100]))
"""
FITS = """[...document.querySelectorAll('.jp-OutputArea-output')].every(
  e => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight)"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address and folder of a JupyterLab that has no settings but these."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("notebooks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    own |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "JUPYTER_PLATFORM_DIRS": "1"}
    command = [sys.executable, "-m", "jupyterlab", *QUIET, f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}"]
    log = (home / "log").open("w")
    process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT)
    yield f"http://127.0.0.1:{port}", folder, process
    process.terminate()  # it ends its kernels
    process.wait(30)
    log.close()


def is_up(address):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


@pytest.fixture
def run(lab, open_page):
    """Runs cells of a new notebook; the page they are on."""
    address, folder, process = lab

    def run_cells(name, *cells, **size):
        made = [{"cell_type": "code", "id": f"c{k}", "source": s.strip(), "metadata": {}, "outputs": [],
                 "execution_count": None} for k, s in enumerate(cells)]  # fmt: skip
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        whole = {"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (folder / f"{name}.ipynb").write_text(json.dumps(whole))
        page = open_page("about:blank", **{"width": 1300, "height": 1500, **size})
        wait(page, lambda: is_up(address), 60)
        page.goto(f"{address}/doc/tree/{name}.ipynb")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
        page.evaluate(DEEP)
        page.locator(".jp-Cell").first.click()
        for _ in cells:
            page.keyboard.press("Shift+Enter")
        return page

    return run_cells


def trained():
    """The network of the cells after its training, its data, and its loss there by hand."""
    scope = {}
    exec(NETWORK + TRAIN, scope)
    model, (x, y) = scope["model"], (scope["X"], scope["y"])
    model.load_state_dict(scope["recorder"].trajectory()[-1])
    with torch.no_grad():
        outputs = model(x)
    return F.cross_entropy(outputs, y).item(), (outputs.argmax(1) == y).double().mean().item()


# What is left of a message whose beginning came before there was a view.
REST = """Bokeh.documents.flatMap((document) => [...document.all_models])
  .filter((model) => model.type.endsWith('CommManager')).forEach((manager) => manager._receiver.consume('{}'))"""


def test_a_live_model_is_explored_in_a_cell_and_answers(run):
    page = run("live", NETWORK + TRAIN, LIVE)
    page.wait_for_function("deep('.surface3d').some(e => e.dataset.size === '33 x 33')", timeout=90_000)
    page.get_by_text("Done").first.wait_for()
    page.get_by_text("Sequential, trajectory plane, training loss").first.wait_for()
    loss, accuracy = trained()
    big = page.locator(".big b").first
    assert big.inner_text() == format_number(loss)
    assert page.evaluate(FITS)
    before = page.evaluate("deep('.surface3d')[0].dataset.marker")
    page.locator("input[type=range][aria-label='Position on the training path']").focus()
    page.keyboard.press("Home")
    page.get_by_text("checkpoint 1 of 4, step 0").first.wait_for()
    page.get_by_text("MainThread").first.wait_for()  # and not in that of a subshell, beside what a run tells
    assert page.evaluate("deep('.surface3d')[0].dataset.marker") != before
    page.keyboard.press("End")
    page.evaluate(REST)
    choose(page, "Metric", "Accuracy")
    page.get_by_text("Sequential, trajectory plane, training accuracy").first.wait_for()
    wait(page, lambda: big.inner_text() == format_number(accuracy))


def test_pictures_are_displayed_by_functions_and_what_cannot_be_used_is_one_sentence(run):
    page = run("pictures", NETWORK, PICTURES, WRONG)
    page.wait_for_function("deep('.surface3d').some(e => e.dataset.size === '9 x 9')", timeout=90_000)
    page.wait_for_function("deep('.bk-contours, .bk-profile').length === 2 && deep('canvas').length > 3")
    assert page.evaluate("deep('h2').filter(e => e.innerText === 'Loss').length") == 3
    told = page.locator(".jp-OutputArea-output", has_text="Inputs and targets of the given data do not fit")
    sentence = r"Inputs and targets of the given data do not fit each other: there are 120 inputs, but 100 [^\n]*"
    expect(told).to_have_text(re.compile(rf"^\s*MismatchError: {sentence}\s*$"), timeout=60_000)
    wait(page, lambda: page.evaluate(FITS))
