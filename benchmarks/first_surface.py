"""How soon the page is there, and the first surface: `python benchmarks/first_surface.py [visits]`.

The first visits are to a server that has rested, where pages stand ready; the others ask for one that is yet to be
made. The page counts as there when its cards and its choices stand in the window; the map, when pixels of it are
painted; the surface, when it has been drawn in three dimensions. A step of the slider is all that runs before the
browser can paint again (95 % of steps take less). A frame of a surface that is turned has 16.7 ms at 60 a second, for
its script and the GPU; where there is none, what it would take is told in passes that read a texture over all of its
canvas. Frames that come late are drawn in fewer pixels while it turns. Then each sample model is chosen from the list,
and its first picture waited for, while the one before still computes; points of its map are tapped while it computes,
and once it is done or, after 20 s, canceled, until the card tells the network there. At last each is the first model of
a server that has just begun and rests. Times in milliseconds, in a headless browser; where that has no GPU, WebGL takes
most of the surface's.
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
from explorer.ready import READY
from install_browser import find_browser
from page import DEEP, choose
from sample_models import names

RESTED = 18  # seconds after which pages stand ready again
FILLED = 3.0e9  # pixels a second, of Intel's HD Graphics 620: topcpu.net/en/cpu/hd-graphics-620
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


# What a frame takes: its script, all of it until its pixels are there, its calls to draw, the vertices of them; and how
# many pixels it has, since those that come late have fewer.
TURN = """() => {
  const ask = requestAnimationFrame, frames = window.drawn = [];
  let calls = 0, vertices = 0;
  const count = (name, number) => {
    const draw = WebGL2RenderingContext.prototype[name];
    WebGL2RenderingContext.prototype[name] = function (...given) {
      [window.gl, calls, vertices] = [this, calls + 1, vertices + number(given)];
      return draw.apply(this, given);
    };
  };
  count('drawElements', (given) => given[1]);
  count('drawArrays', (given) => given[2]);
  count('drawElementsInstanced', (given) => given[1] * given[4]);
  count('drawArraysInstanced', (given) => given[2] * given[3]);
  window.requestAnimationFrame = (frame) => ask((time) => {
    [calls, vertices] = [0, 0];
    const start = performance.now();
    frame(time);
    if (!calls) return;
    const script = performance.now() - start;
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    frames.push([script, performance.now() - start, calls, vertices, gl.drawingBufferWidth * gl.drawingBufferHeight]);
  });
}"""

# Milliseconds of one pass that reads a texture and blends it over the whole of the surface's canvas.
PASS = """() => {
  const compiled = (type, source) => {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, '#version 300 es\\n' + source);
    gl.compileShader(shader);
    return shader;
  };
  const program = gl.createProgram();
  gl.attachShader(program, compiled(gl.VERTEX_SHADER, `out vec2 at; void main() {
    at = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0; gl_Position = vec4(at * 2.0 - 1.0, 0, 1); }`));
  gl.attachShader(program, compiled(gl.FRAGMENT_SHADER, `precision highp float; in vec2 at; out vec4 color;
    uniform sampler2D image; void main() { color = texture(image, at); }`));
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.bindVertexArray(null);
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  const size = 256, texels = new Uint8Array(4 * size * size).fill(99);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, size, size, 0, gl.RGBA, gl.UNSIGNED_BYTE, texels);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  for (const state of [gl.DEPTH_TEST, gl.CULL_FACE, gl.SCISSOR_TEST]) gl.disable(state);
  gl.enable(gl.BLEND);
  const times = [];
  for (let k = 0; k < 9; k++) {
    const start = performance.now();
    for (let n = 0; n < 10; n++) gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    times.push((performance.now() - start) / 10);
  }
  if (gl.getError()) throw new Error('a pass was not drawn');
  return [times, gl.drawingBufferWidth * gl.drawingBufferHeight * gl.getParameter(gl.SAMPLES)];
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


def turning(browser, address: str) -> tuple[list[list[float]], tuple[list[float], int]]:
    """What each frame takes while the surface is turned (see TURN), and what a pass over it does, and its samples."""
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
    page.wait_for_timeout(1000)  # it is sharp again
    found = page.evaluate("drawn"), page.evaluate(PASS)
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
            for k in range(visits):
                if k % READY == 0:
                    time.sleep(RESTED)
                ready.append(visit(browser, address))
            for _ in range(visits):
                made.append(visit(browser, f"{address}?theme=default"))  # what stands ready knows of no arguments
            frames, (passes, samples) = turning(browser, address)
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
    scripts, _, calls, vertices, pixels = zip(*frames, strict=True)
    wholes = [frame[1] for frame in frames if frame[4] == max(pixels)]
    print_row("a turned frame's script", scripts)
    print_row("a turned frame, drawn", wholes)
    if min(pixels) < max(pixels):
        print_row("those that come late, coarser", [frame[1] for frame in frames if frame[4] == min(pixels)])
    print_row("a pass over its canvas", passes)
    print(f"a turned frame has {statistics.median(calls):.0f} calls of {statistics.median(vertices):.0f} vertices,")
    print(f"and {samples} samples: it takes {statistics.median(wholes) / statistics.median(passes):.1f} such passes,")
    print(f"where 16.7 ms have {0.0167 * FILLED / samples:.0f} on an integrated GPU of 2016, by its fill rate")
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
