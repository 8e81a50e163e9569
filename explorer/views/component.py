"""What our own elements in the browser have in common."""

from __future__ import annotations

from typing import Any

from panel.custom import JSComponent


class Component(JSComponent):
    """An element in JavaScript, whose changes cost the same however large the page is.

    Its module is a ``_bundle``: a page loads it as a file, as it is, and a browser that has been here keeps it.
    """

    __abstract = True

    @classmethod
    def _patch_datamodel_ref(cls, props: Any, ref: str) -> None:
        """Tag a changed element's model, as Panel does, and no other, since it holds none.

        Panel 1.9.4 looks for models in all that its ``jscallback`` refers to, which is the page, at every change.
        """
        tag = f"__ref:{ref}"
        if tag not in props.tags:
            props.tags.append(tag)
