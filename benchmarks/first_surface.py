"""How soon the page is there, and the first surface: `python benchmarks/first_surface.py [visits]`.

The first visits are to a server that rests, where a page stands ready; the others ask for one that is yet to be made.
The page counts as there when its cards and its choices stand in the window; the map, when pixels of it are painted;
the surface, when it has been drawn in three dimensions. A step of the slider is all that runs before the browser can
paint again (95 % of steps take less); a frame of a surface that is turned has 16.7 ms at 60 a second, of which its
script takes so much, and the GPU the rest. Then each sample model is chosen from the list, and its first picture waited
for, while the one before still computes; points of its map are tapped while it computes, and once it is done or, after
20 s, canceled, until the card tells the network there. At last each is the first model of a server that has just begun
and rests. Times in milliseconds, in a headless browser; where that has no GPU, WebGL takes most of the surface's.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import TimeoutError, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from conftest import ARGUMENTS
from install_browser import find_browser
from page import DEEP, choose
from sample_models import names

RESTED = 12  # seconds after which a page stands ready again
PATIENCE = 20  # seconds that a run is waited for
POINTS = ((0.30, 0.40), (0.38, 0.50), (0.33, 0.60), (0.62, 0.55))  # as shares of the map's card
WATCH = """(() => {
  const deep = (s, root = document) => [...root.querySelectorAll(s),
    ...[...root.querySelectorAll('*')].flatMap((e) => e.shadowRoot ? deep(s, e.shadowRoot) : [])];
  const painted = (c) => c.width && c.getContext('2d')?.getImageData(c.width / 2, c.height / 2, 2, 2).data.some(Number);
  const seen = window.seen = {}, marks = {
    page: () => deep('h2').some((e) => e.textContent === 'Map' && e.offsetWidth)
      && deep('[role=combobox]').some((e) => e.offsetWidth),
    map: () => deep('.bk-map').some((e) => deep('canvas', e.shadowRoot).some(painted)),
    surface: () => deep('.surface3d').some((e) => e.dataset.size),
    done: () => deep('.chip.done').length,
  };
  const look = () => {
    for (const name in marks) if (!(name in seen) && marks[name]()) seen[name] = performance.now();
    if (!('done' in seen && 'surface' in seen)) setTimeout(look, 50);
  };
  look();
})()"""


SLIDE = """() => {
  const deep = (s, root = document) => [...root.querySelectorAll(s),
    ...[...root.querySelectorAll('*')].flatMap((e) => e.shadowRoot ? deep(s, e.shadowRoot) : [])];
  const slider = deep('input[type=range]')[0], times = [];
  for (let k = 0; k < 80; k++) {
    slider.value = k / 2;
    const start = performance.now();
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[76];
}"""


# What is drawn in a frame, counted in what the browser calls before it paints.
TURN = """() => {
  const ask = requestAnimationFrame, scripts = window.scripts = [];
  let calls = 0;
  for (const name of ['drawElements', 'drawArrays', 'drawElementsInstanced', 'drawArraysInstanced']) {
    const draw = WebGL2RenderingContext.prototype[name];
    WebGL2RenderingContext.prototype[name] = function (...given) { calls += 1; return draw.apply(this, given); };
  }
  window.requestAnimationFrame = (frame) => ask((time) => {
    const start = performance.now(), before = calls;
    frame(time);
    if (calls > before) scripts.push(performance.now() - start);
  });
}"""

# The header says what is shown.
SHOWN = """(name) => deep('.sub').some((e) => e.textContent.startsWith(name)) && performance.now() - window.clicked"""

# The card tells the network at another point than before: a number, that is, and not only that it will.
TOLD = """(before) => {
  const place = deep('.where span')[0]?.textContent;
  return window.clicked && place !== before && deep('.big b').length
    && performance.now() - window.clicked;
}"""


def visit(browser, address: str, last: str = "done") -> dict[str, float]:
    """Milliseconds since the request until each thing was seen, the last one included."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(WATCH)
    page.goto(address)
    page.wait_for_function("(last) => last in seen && 'surface' in seen && 'map' in seen", arg=last)
    found = page.evaluate("seen") | {"slider": page.evaluate(SLIDE)}
    page.close()
    return found


def turning(browser, address: str) -> list[float]:
    """Milliseconds of script of each frame while the surface is turned; the GPU's time comes on top."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.get_by_text("Done").first.wait_for()
    page.evaluate(DEEP)
    page.evaluate(TURN)
    box = page.locator(".surface3d").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for k in range(80):
        page.mouse.move(x + 2 * k - 40, y + k % 20)
    page.mouse.up()
    found = page.evaluate("scripts")
    page.close()
    return found


def changes(browser, address: str) -> dict[str, list[float]]:
    """Milliseconds from the choice of a sample model to its first picture, and from taps to what is told of points."""
    page, found = browser.new_page(viewport={"width": 1440, "height": 900}), {}
    page.goto(address)
    page.get_by_text("Done").first.wait_for()
    page.evaluate(DEEP)
    page.evaluate("addEventListener('click', () => { window.clicked = performance.now(); }, true)")
    first, *others = names()
    for name in (*others, first):
        choose(page, "Model", name)
        found[f"{name}, chosen"] = [page.wait_for_function(SHOWN, arg=name).json_value()]
    for name in (*others, first):
        choose(page, "Model", name)
        page.wait_for_function(SHOWN, arg=name)
        found[f"{name}, tapped meanwhile"] = taps(page)
        try:
            page.get_by_text("Done").first.wait_for(timeout=1000 * PATIENCE)
        except TimeoutError:
            page.get_by_role("button", name="Cancel").first.click()
        found[f"{name}, tapped at rest"] = taps(page)
    page.close()
    return found


def taps(page) -> list[float]:
    """Milliseconds from each of some taps on the map to what the card tells of the point."""
    found, box = [], page.locator(".bk-map").first.bounding_box()
    for x, y in POINTS:
        before = page.evaluate("deep('.where span')[0]?.textContent")
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        found.append(page.wait_for_function(TOLD, arg=before).json_value())
        page.wait_for_timeout(500)
    return found


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """The address of an explorer that is served meanwhile."""
    command = [Path(sysconfig.get_path("scripts")) / "landscape-explorer", "--port", "5400", *arguments]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **quiet) as server:
        yield server.stdout.readline().split()[4]
        server.terminate()


def main(visits: int = 5) -> None:
    """Serve the explorer, visit it, print a table."""
    ready, made, first = [], [], {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        with serving() as address:
            for _ in range(visits):
                time.sleep(RESTED)
                ready.append(visit(browser, address))
            for _ in range(visits):
                made.append(visit(browser, f"{address}?theme=default"))  # what stands ready knows of no arguments
            frames = turning(browser, address)
            chosen = changes(browser, address)
        for name in names():
            with serving("--model", name) as address:
                time.sleep(RESTED)
                first[name] = visit(browser, address, "surface")
        browser.close()
    print_row("page that stood ready", [found["page"] for found in ready])
    print_row("page made when asked for", [found["page"] for found in made])
    for name in ("map", "surface", "done"):
        print_row(f"{name} after the page", [found[name] - found["page"] for found in ready + made])
    print_row("a step of the slider", [found["slider"] for found in ready + made])
    print_row("a turned frame's script", frames)
    for name, seen in first.items():
        print_row(f"{name} first, page", [seen["page"]])
        print_row(f"{name} first, surface after it", [seen["surface"] - seen["page"]])
    for name, took in chosen.items():
        print_row(name, took)


def print_row(name: str, times: list[float]) -> None:
    """The middle of some times, and the range of them."""
    print(f"{name:34} {statistics.median(times):6.1f} ms ({min(times):.1f} to {max(times):.1f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
