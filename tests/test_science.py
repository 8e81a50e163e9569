"""Published claims: the quick ones are reproduced, and the page says what was found."""

import json
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from science import page
from science.__main__ import main
from science.claim import Claim, Finding, Number
from science.claims import CLAIMS

DOCS = Path(__file__).parent.parent / "docs"

FALL = Number("fall", least=0.5, most=2.0, form=".1f")
EXAMPLE = Claim(
    name="example",
    title="Things fall, mostly",
    says="Things fall.",
    source="Galilei 1638, Discorsi, third day; Newton 1687, Principia, book 1",
    done="One was dropped.",
    numbers=(FALL, Number("height", form=".0%")),
    discussion="It fell.",
    caption="A thing.",
    run=lambda: Finding({"fall": 1.0, "height": 0.5}, Figure(), "It took 1 s."),
)


def entry(**values):
    return {"values": values, "seen": "It took 1 s.", "seconds": 61.4, "versions": {"Python": "3.11"}}


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.quick], ids=lambda claim: claim.name)
def test_a_quick_claim_is_found_again_within_its_tolerance(claim):
    with matplotlib.rc_context(fname=DOCS / "gallery" / "matplotlibrc"):
        values = claim.run().values
    assert set(values) == {number.name for number in claim.numbers}
    assert claim.surprises(values) == []


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_what_the_page_tells_of_a_claim_is_within_its_tolerance_or_explained(claim):
    found = page.load(DOCS / "science", CLAIMS)[claim.name]
    assert claim.surprises(found["values"]) == []
    assert (DOCS / "science" / f"{claim.name}.png").stat().st_size < 200_000


def test_the_page_is_what_was_found():
    text = (DOCS / "science.md").read_text(encoding="utf-8")
    assert text == page.render(CLAIMS, page.load(DOCS / "science", CLAIMS))


def test_names_of_claims_and_of_their_numbers_are_unique():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        names = [number.name for number in claim.numbers]
        assert len(set(names)) == len(names)
        assert set(claim.explained) <= {number.name for number in claim.numbers if number.judged}
        assert claim.discussion


@pytest.mark.parametrize(
    ("number", "words", "within", "beyond"),
    [
        (Number("n", least=9, form=".0f"), "at least 9", [9, 10], [8, float("nan"), float("-inf")]),
        (
            Number("n", most=0.05, form=".1%"),
            "at most 5.0\N{NO-BREAK SPACE}%",
            [0.05, 0],
            [0.0501, float("nan"), float("inf")],
        ),
        (Number("n", 0.95, 1.15), "0.95 to 1.15", [0.95, 1, 1.15], [0.949, 1.151, float("nan")]),
        (Number("n"), "not judged", [0, float("nan")], []),
    ],
)
def test_a_tolerance_includes_its_bounds_and_says_what_they_are(number, words, within, beyond):
    assert number.tolerance == words
    assert all(number.holds(value) for value in within)
    assert not any(number.holds(value) for value in beyond)


def test_a_number_outside_is_marked_and_explained_and_one_that_is_not_judged_stays_out_of_the_table():
    text = page.render(
        [replace(EXAMPLE, explained={"fall": "It was a feather."})], {"example": entry(fall=3, height=1)}
    )
    top, section = text.split("## Things fall, mostly")
    assert "| fall | 0.5 to 2.0 | 3.0 | **outside** |" in top
    assert "[Things fall, mostly](#things-fall-mostly) | Galilei 1638; Newton 1687 |" in top
    assert "height" not in top
    assert "| height | not judged | 100\N{NO-BREAK SPACE}% |  |" in section
    assert "**Outside: fall.** It was a feather." in section


def test_a_surprise_is_a_number_outside_that_is_not_explained_or_the_other_way_around():
    explained = replace(EXAMPLE, explained={"fall": "It was a feather."})
    assert EXAMPLE.surprises({"fall": 1, "height": 9}) == []
    assert EXAMPLE.surprises({"fall": 3, "height": 9}) == ["fall"]
    assert explained.surprises({"fall": 3, "height": 9}) == []
    assert explained.surprises({"fall": 1, "height": 9}) == ["fall"]


def test_the_command_writes_figure_numbers_and_page_and_keeps_those_of_other_claims(tmp_path, monkeypatch, capsys):
    other = replace(EXAMPLE, name="other", title="Other things", run=lambda: EXAMPLE.run())
    failing = replace(other, numbers=(replace(FALL, most=0.6), EXAMPLE.numbers[1]))
    folder = tmp_path / "science"
    monkeypatch.setattr("science.__main__.CLAIMS", (EXAMPLE, other))
    assert main(["example", "--folder", str(folder)]) == 0
    assert main(["other", "--folder", str(folder)]) == 0
    assert set(json.loads((folder / "found.json").read_text())) == {"example", "other"}
    assert (folder / "example.png").read_bytes().startswith(b"\x89PNG")
    assert "## Other things" in (tmp_path / "science.md").read_text()
    monkeypatch.setattr("science.__main__.CLAIMS", (EXAMPLE, failing))
    assert main(["other", "--folder", str(folder)]) == 1
    assert "outside" in capsys.readouterr().out


def test_a_claim_that_does_not_exist_is_refused_with_the_names_of_those_that_do(capsys):
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "straight_path" in capsys.readouterr().err
