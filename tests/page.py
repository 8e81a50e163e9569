"""What a person does on the page, and waiting for what it answers."""

import re
import time

DEEP = """(() => { window.deep = (selector, root = document) => { const found = [...root.querySelectorAll(selector)];
  for (const e of root.querySelectorAll('*')) if (e.shadowRoot) found.push(...window.deep(selector, e.shadowRoot));
  return found; }; })()"""


def wait(page, condition, seconds=60.0):
    """Waits on the page, since the browser's requests are answered only while it is asked something."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        page.wait_for_timeout(20)


def wait_for_surface(page):
    """Until the surface is drawn, or a phone hides it behind the map."""
    page.wait_for_function("deep('.surface3d').some(e => e.dataset.size === '129 x 129' || !e.offsetWidth)")


def choose(page, label, text):
    """Choose from a list in the drawer, as a person does."""
    page.get_by_label(label).first.click()
    page.wait_for_timeout(300)
    page.locator(".MuiMenuItem-root", has_text=re.compile(f"^{re.escape(text)}")).first.click()


def marked(view, kind):
    """Where marks of a kind stand on a map."""
    signs = view._signs.data
    return {(x, y) for x, y, sign in zip(signs["x"], signs["y"], signs["kind"], strict=True) if sign == kind}


PIXEL = """([alpha, beta]) => {
  const map = Bokeh.documents[0].all_models; for (const model of map) {
    if (model.type !== 'Figure' || !model.title?.text.startsWith('β')) continue;
    const view = Bokeh.index.find_one(model), box = view.canvas_view.el.getBoundingClientRect();
    return [box.x + view.frame.x_scale.compute(alpha), box.y + view.frame.y_scale.compute(beta)];
  }
}"""


def pixel(page, alpha, beta):
    """Where a point of the plane is on the screen."""
    return page.evaluate(PIXEL, [alpha, beta])


def drag(page, start, end, hold=0.0):
    """Drag from one point of the plane to another, after so many milliseconds."""
    page.mouse.move(*pixel(page, *start))
    page.mouse.down()
    page.wait_for_timeout(hold)
    page.mouse.move(*pixel(page, *end), steps=5)
    page.mouse.up()


CUT = """deep('.bk-map, .bk-surface, .bk-profile, .bk-inspector').filter(e =>
  e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1).map(e => e.className)"""


def assert_fits(page, *widths):
    """Nothing scrolls sideways, nor inside a card, however wide the window is."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert page.evaluate(CUT) == [], width
        assert page.evaluate("deep('header button').every(e => e.getBoundingClientRect().right <= innerWidth)"), width
