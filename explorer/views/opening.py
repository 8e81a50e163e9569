"""The dialog in which a person opens weights and data of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from explorer import sources
from explorer.numbers import format_number, percent
from explorer.opening import Findings, Network, Opening, sentence
from explorer.own import LOSS_LABELS, Preview
from explorer.state import State
from explorer.subjects import offer
from explorer.views.cards import text
from explorer.views.dropper import Dropper
from explorer.views.field import TextField
from landscape_engine import Trajectory
from sample_models.architectures import ARCHITECTURES, Option

PAUSE, NEXT = 0.3, 1.0  # seconds after a choice, and after a file, until all is looked at again
SOURCES = {"files": "Files of your own", "digits": "Handwritten digits, 8 × 8", "spirals": "Three spirals"}
STANDARDIZED = {"none": "As they are", "feature": "Each feature", "channel": "Each channel"}
STEPS_CSS = """
:host { display: grid !important; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px 32px; font: inherit;
  align-content: start; grid-auto-rows: max-content; height: max-content !important; flex: none !important;
  box-sizing: border-box; padding-bottom: 8px; }
.bk-check { grid-column: 1 / -1; border-top: 1px solid var(--hair); padding-top: 8px; }
@media (max-width: 760px) { :host { grid-template-columns: minmax(0, 1fr); }
  .bk-data { border-top: 1px solid var(--hair); padding-top: 8px; } }
.scroll-button { display: none; }
"""
FIELDS_CSS = """
:host { display: grid !important; grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 0 12px; }
.scroll-button { display: none; }
"""
TEXT_CSS = """
:host { font: 400 var(--fs-small)/1.45 var(--font); color: var(--ink-2); }
h3 { font-size: var(--fs-title); font-weight: 600; color: var(--ink); margin: 4px 0 2px; }
p { margin: 0 0 4px; overflow-wrap: anywhere; } .wrong { color: var(--ink); padding: 8px 12px; margin: 4px 0;
  background: var(--error-soft); border: 1px solid var(--error); border-radius: var(--r-control); }
dl { display: flex; flex-wrap: wrap; gap: 4px 32px; margin: 4px 0 8px; } dt { font-size: var(--fs-caption); }
dd { margin: 0; font-size: var(--fs-page); font-weight: 600; color: var(--ink); }
progress { width: 100%; height: 4px; display: block; accent-color: var(--ink); }
"""
PHONE = {"margin": 0, "width": "100%", "maxWidth": "100%", "height": "100%", "maxHeight": "100%", "borderRadius": 0}
DIALOG_SX = {
    "& .MuiDialog-paper": {"border": "1px solid var(--hair)", "@media (max-width: 600px)": PHONE},
    "& .MuiDialogTitle-root": {"padding": "16px 24px 4px", "@media (max-width: 600px)": {"padding": "12px 16px 4px"}},
    "& .MuiDialogContent-root": {"padding": "0 24px 16px", "@media (max-width: 600px)": {"padding": "0 16px 12px"}},
}
WIDE = {"sizing_mode": "stretch_width"}
STYLE = {"size": "small", "sizing_mode": "stretch_width", "description": "", "margin": (6, 0)}
HELP = {
    "weights": "Files of safetensors or torch.save (.pt, .pth, .ckpt) that hold numbers only. Several files become the "
    "checkpoints of the slider.",
    "data": "Arrays (.npz, .npy, .safetensors), tables (.csv), folders of images, MNIST's or CIFAR's files, or a .zip "
    "of those.",
    "check": "",
}
TITLES = {"weights": "1  Weights", "data": "2  Data", "check": "3  Check and explore"}


class OpeningView:
    """The button and the dialog that it opens.

    Args:
        state: Of the page, which is told what to show.

    Attributes:
        opening: What was dropped and chosen.
        button: Opens the dialog.
        dialog: To be placed anywhere on the page.
    """

    def __init__(self, state: State) -> None:
        self.state, self.opening = state, Opening()
        self._asked, self._closed = 0, False
        self._opened: list[str] = []
        self._offered: tuple[str, tuple[str, ...]] = ("", ())
        self.dialog = pmui.Dialog(
            title="Open your own",
            title_variant="h1",
            width_option="md",
            show_close_button=True,
            close_on_click=True,  # beside it, or by Escape; what it holds stays
            sx=DIALOG_SX,
            **WIDE,
        )
        self.button = pmui.Button(label="Open your own", variant="outlined", size="small", margin=(6, 10), **WIDE)
        self.button.on_click(lambda event: self._open())

    def _fill(self) -> None:
        """Make what is in the dialog: whoever never opens it does not wait for it either."""
        self.picks: dict[str, pmui.Select] = {}
        self.told = {step: text("", TEXT_CSS, **WIDE) for step in TITLES}
        self.status = text("", TEXT_CSS, **WIDE)
        self.options = _fields()
        roles = self._pick("inputs", "Inputs"), self._pick("targets", "Targets")
        self.roles = pn.Column(_fields(*roles), margin=0, **WIDE)
        self.explore = pmui.Button(label="Explore", variant="contained", disabled=True, margin=(8, 0, 0, 0))
        self.explore.on_click(self._explore)
        self.dialog.append(self._steps())
        self._link()

    def close(self) -> None:
        """Remove the files and forget the models: the session has ended."""
        self._closed = True
        self.opening.close()
        for key in self._opened:
            sources.withdraw(key)

    def _open(self) -> None:
        if not self.dialog.objects:
            self._fill()
        self.dialog.open = True
        if self.opening.findings.model is None:  # nothing yet, or what is on the page now
            self.opening.param.trigger("contents")

    def _link(self) -> None:
        watch = self.opening.param.watch
        watch(lambda *events: self._show(), ["findings", "looking", "arriving", "message"])
        chosen = ["architecture", "options", "source", "inputs", "targets", "split", "samples", "standardize", "loss"]
        watch(self._look, [*chosen, "contents"])
        self._show()

    def _steps(self) -> pn.Column:
        opening = self.opening
        parts = {
            "weights": [
                self._dropper("weights"),
                self.told["weights"],
                self._pick("architecture", "Architecture"),
                self.options,
            ],
            "data": [
                pmui.Select.from_param(opening.param.source, label="Source", options=_swapped(SOURCES), **STYLE),
                pn.Column(self._dropper("data"), visible=opening.param.source.rx() == "files", margin=0, **WIDE),
                self.told["data"],
                self.roles,
                _fields(*self._amounts()),
            ],
            "check": [
                self._pick("loss", "Loss", sizing_mode=None, width=320),
                self.told["check"],
                pn.Row(self.status, self.explore, margin=0, **WIDE),
            ],
        }
        steps = [
            pn.Column(self._head(step), *inside, css_classes=[f"bk-{step}"], margin=0, **WIDE)
            for step, inside in parts.items()
        ]
        return pn.Column(*steps, stylesheets=[STEPS_CSS], margin=0, **WIDE)

    def _head(self, step: str) -> Any:
        return text(f"<h3>{TITLES[step]}</h3>" + f"<p>{HELP[step]}</p>" * bool(HELP[step]), TEXT_CSS, **WIDE)

    def _dropper(self, kind: str) -> Dropper:
        return Dropper(partial(self.opening.take, kind), partial(self.opening.remove, kind))

    def _pick(self, name: str, label: str, **options: Any) -> pmui.Select:
        """A choice whose alternatives ``_show`` knows."""
        made = pmui.Select.from_param(
            self.opening.param[name], label=label, options={"As found": ""}, **{**STYLE, **options}
        )
        self.picks[name] = made
        return made

    def _amounts(self) -> list[pmui.Select]:
        parameters = self.opening.param
        shares = {share: f"{share:.0%}".replace("%", " %") if share else "None" for share in parameters.split.objects}
        counts = {count: f"{count:,}" if count else "All" for count in parameters.samples.objects}
        files = parameters.source.rx() != "files"
        named = [
            (parameters.split, "Test part", shares, {"disabled": files}),
            (parameters.samples, "At most", counts, {}),
            (parameters.standardize, "Standardize", STANDARDIZED, {}),
        ]
        return [
            pmui.Select.from_param(parameter, label=label, options=_swapped(names), **STYLE, **options)
            for parameter, label, names, options in named
        ]

    async def _look(self, *events: Any) -> None:
        """Look at everything anew, a little after the last change; the newest answer counts."""
        self._asked += 1
        mine = self._asked
        self.opening.param.update(looking=True, message="")
        await asyncio.sleep(NEXT if any(event.name == "contents" for event in events) else PAUSE)
        if mine != self._asked or self._closed:
            return
        found = await asyncio.to_thread(self.opening.look)
        if mine == self._asked and not self._closed:
            self.opening.settle(found)

    async def _explore(self, event: Any) -> None:
        """Show what was opened on the page."""
        if self.explore.loading:  # a second click
            return
        self.explore.param.update(loading=True, disabled=True)
        try:
            names = [sources.load(key).sample.title for key in self.state.models]
            own = await asyncio.to_thread(self.opening.own, names)
        except Exception as error:  # of a LandscapeError its sentence
            self.opening.message = sentence(error)
            return
        finally:
            self.explore.loading = False
            self._show()
        if not self._closed:
            self.dialog.open = False
            self._opened.append(offer(own))
            self.state.show(self._opened[-1])
            self.opening.explored()

    def _show(self) -> None:
        """Say what is known."""
        opening, found = self.opening, self.opening.findings
        for step, pane in self.told.items():
            pane.object = "".join(self._told(step, found))
        missing = [step for step in ("weights", "data") if step not in {**found.said, **found.wrong}]
        waiting = f"{' and '.join(missing).capitalize()} are still missing." if missing else ""
        self.status.object = f"<p>{'Looking at what there is …' if opening.looking else waiting}</p>"
        self.explore.disabled = opening.looking or self.explore.loading or found.preview is None
        self._offer("architecture", _architectures(found))
        self._offer("loss", {_automatic(found): "", **_same(filter(None, opening.param.loss.objects))})
        for name, usual in zip(("inputs", "targets"), found.usual, strict=True):
            if found.contents is not None:
                free = usual and not getattr(opening, name)
                self._offer(name, {f"As found: {usual}" if free else "As found": "", **_same(found.contents.names)})
        self.roles.visible = opening.source == "files" and found.contents is not None
        self.picks["architecture"].visible = found.checkpoints is not None
        if found.checkpoints is not None:
            self._offer_options(found.network)

    def _offer(self, name: str, names: dict[str, Any]) -> None:
        """Other alternatives of a choice."""
        if self.picks[name].options != names:
            self.picks[name].options = names
            self.picks[name].param.trigger("value")  # the browser knows it by its label

    def _offer_options(self, network: Network | None) -> None:
        """A field for each option that can be chosen; those that are there stay, with what is typed in them."""
        offered = (network.architecture.name, network.open) if network else ("", ())
        if offered != self._offered:
            known = network.architecture.options if network else {}
            values = network.options if network else {}
            self.options.objects = [self._option(name, known[name], values[name]) for name in offered[1]]
        self._offered = offered

    def _told(self, step: str, found: Findings) -> Iterable[str]:
        arriving = self.opening.inboxes[step].arriving if step in self.opening.inboxes else {}
        for name, share in arriving.items():
            yield f"<p>Receiving {escape(name)}: {share:.0%}</p><progress value='{share}'></progress>"
        if step == "check":
            yield from self._checked(found)
        else:
            yield from (f"<p>{escape(one)}</p>" for one in found.said.get(step, ()))
        wrong = found.wrong.get(step, "")
        yield f"<p class='wrong' role='alert'>{escape(wrong)}</p>" * bool(wrong)

    def _checked(self, found: Findings) -> Iterable[str]:
        message = self.opening.message
        yield f"<p class='wrong' role='alert'>{escape(message)}</p>" * bool(message)
        if found.preview is not None:
            yield _figures(found.preview, found.run)
            yield from (f"<p>{escape(one)}</p>" for one in (*found.preview.sentences[1:-2], found.preview.cost))

    def _option(self, name: str, option: Option, value: Any) -> Any:
        """A field for an option of the architecture."""
        label = name.replace("_", " ").capitalize()
        if option.choices:
            names = {choice: {True: "Yes", False: "No"}.get(choice, str(choice)) for choice in option.choices}
            field = pmui.Select(label=label, options=_swapped(names), value=value, **STYLE)
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            field = TextField(label=label, value=shown, **STYLE)
        field.param.watch(lambda event: self.opening.choose_option(name, event.new), "value")
        return field


def _figures(preview: Preview, run: Trajectory | None) -> str:
    """The numbers of the preview, each under its name."""
    words = {"train": "training", "test": "test"}
    figures = {
        "Parameters": f"{preview.parameters:,}",
        "Examples": ", ".join(f"{count:,} {words[part]}" for part, count in preview.examples.items()),
        "Classes": f"{len(preview.classes)}" if preview.classes else "",
        "Checkpoints": f"{len(run)}" if run is not None else "",
        "Loss on a sample": format_number(preview.value),
        "Accuracy on a sample": "" if preview.accuracy is None else percent(preview.accuracy),
    }
    rows = (f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items() if value)
    return f"<dl>{''.join(rows)}</dl>"


def _architectures(found: Findings) -> dict[str, str]:
    """What can be chosen, the recognized ones first."""
    best = found.recognized[0].architecture.title if found.recognized else ""
    return {
        f"As recognized: {best}" if best else "Choose one": "",
        **{known.title: name for name, known in ARCHITECTURES.items()},
    }


def _automatic(found: Findings) -> str:
    loss = found.preview.loss if found.preview is not None else None
    if loss is None or not loss.why or loss.why.startswith("The loss was chosen"):
        return "Automatic"
    return f"Automatic ({LOSS_LABELS.get(loss.name, loss.name).lower()})"


def _fields(*fields: Any) -> pn.Column:
    """Fields beside each other, as many as there is room for."""
    return pn.Column(*fields, stylesheets=[FIELDS_CSS], margin=0, **WIDE)


def _same(names: Iterable[str]) -> dict[str, str]:
    return {name: name for name in names}


def _swapped(names: dict[Any, str]) -> dict[str, Any]:
    return {name: key for key, name in names.items()}
