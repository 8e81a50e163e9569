"""What the page leaves out until it is wanted, and what a text field says to the browser."""

import param

from explorer.views.cards import when
from explorer.views.field import TextField


def said(field):
    """The texts that a field asks the browser to show, from now on."""
    texts = []
    field.param.watch(lambda event: texts.append(event.new), "value_input", onlychanged=True)
    return texts


def test_what_is_typed_after_a_value_was_entered_is_not_undone():
    field = TextField(value="0")
    field._process_events({"value_input": "1"})
    texts = said(field)
    field._process_events({"value": "1", "value_input": "12"})  # one message: entered, and typed on
    assert (field.value, field.value_input) == ("1", "12")
    assert texts == ["12"]


def test_a_value_from_elsewhere_is_shown():
    field = TextField(value="0")
    assert field.value_input == "0"
    field._process_events({"value": "1", "value_input": "12"})
    field.value = "7"
    assert field.value_input == "7"


def test_a_value_that_is_answered_by_another_shows_the_other():
    field = TextField(value="0")
    field.param.watch(lambda event: field.param.update(value="3"), "value")
    field._process_events({"value_input": "3.0"})
    field._process_events({"value": "3.0"})
    assert field.value_input == "3"


def test_what_nobody_has_seen_yet_is_no_part_of_the_page_and_what_was_seen_stays_in_it():
    wanted = param.rx(False)
    place = when(wanted, child := TextField())
    assert place.objects == [] and not place.visible
    wanted.rx.value = True
    assert place.objects == [child] and place.visible
    wanted.rx.value = False
    assert place.objects == [child] and not place.visible
