"""What each principal direction holds of a training, in words and bars."""

import re

from explorer.views.movement import MovementView, movement_html


def bars(html):
    """Name, width in percent of the longest, and share in percent of each bar."""
    found = re.findall(r"<span>([^<]*)</span><i style='width: ([0-9.]+)%'></i><span>([0-9.]+) %</span>", html)
    return [(name, float(width), float(share)) for name, width, share in found]


def test_bars_are_as_long_as_their_shares_and_the_longest_fills_the_card():
    html = movement_html([0.5, 0.25, 0.125, 0.125])
    assert bars(html) == [("PC 1", 100, 50), ("PC 2", 50, 25), ("PC 3", 25, 12.5), ("PC 4", 25, 12.5)]
    assert "75.0&nbsp;%" in html


def test_the_directions_without_a_bar_of_their_own_are_told_together_and_fit():
    found = bars(movement_html([0.12, 0.1, 0.09, 0.08, 0.08, 0.07, 0.06]))
    assert [name for name, _, _ in found] == ["PC 1", "PC 2", "PC 3", "PC 4", "PC 5", "PC 6", "others"]
    assert max(width for _, width, _ in found) == 100 and found[-1][2] == 46
    assert bars(movement_html([0.9998, 0.0002])) == [("PC 1", 100, 100)]


def test_a_plane_of_other_directions_has_no_shares():
    view = MovementView()
    view.show({"spectrum": [0.9, 0.1]})
    assert view.known and "PC 2" in view.view.object
    view.show({"kind": "random"})
    assert not view.known and view.view.object == ""
