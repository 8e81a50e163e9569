"""What our own elements in the browser have in common."""

from __future__ import annotations

from typing import Any

from panel.custom import JSComponent


def tagged(props: Any, ref: str) -> None:
    """Tag a changed element's model, as Panel does, and none of those that it holds or refers to.

    These are tagged when they are made. Panel 1.9.4 looks for them anew at every change: for the page itself in all
    that it holds, for another element in all that a ``jscallback`` refers to.

    Args:
        props: The model.
        ref: Of the root that it belongs to.
    """
    tag = f"__ref:{ref}"
    if tag not in props.tags:
        props.tags.append(tag)


class Component(JSComponent):
    """An element in JavaScript, whose changes cost the same however large the page is.

    Its module is a ``_bundle``: a page loads it as a file, as it is, and a browser that has been here keeps it.
    """

    __abstract = True

    @classmethod
    def _patch_datamodel_ref(cls, props: Any, ref: str) -> None:
        tagged(props, ref)
