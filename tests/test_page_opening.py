"""Weights and data of one's own, dropped into the page by hand."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save

from explorer import sources
from page import wait
from sample_models.architectures import build

COUNT = 60
STEPS = (0, 10, 20)


def dropped(name, content):
    return {"name": name, "mimeType": "", "buffer": content}


def examples():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(COUNT, 4, generator=generator), torch.randint(3, (COUNT,), generator=generator)


def run():
    """The networks of a run, each a little further on the way of the gradient."""
    torch.manual_seed(0)
    networks = [build("mlp", sizes=(4, 8, 3)) for _ in STEPS]
    for before, after in zip(networks, networks[1:], strict=False):
        loss = F.cross_entropy(before(examples()[0]), examples()[1])
        slopes = torch.autograd.grad(loss, list(before.parameters()))
        for old, new, slope in zip(before.parameters(), after.parameters(), slopes, strict=True):
            new.data = old.data - slope
    return networks


def weight_files():
    files = zip(STEPS, run(), strict=True)
    return [dropped(f"net_{step}.safetensors", save(network.state_dict())) for step, network in files]


def data_file():
    file, (inputs, targets) = io.BytesIO(), examples()
    np.savez(
        file, x_train=inputs.numpy(), y_train=targets.numpy(), x_test=inputs[:9].numpy(), y_test=targets[:9].numpy()
    )
    return dropped("data.npz", file.getvalue())


@pytest.fixture
def open_own(visit):
    """The page with the dialog open, the explorer behind it, and the two areas for files."""

    def open_one():
        page, explorer = visit(finished=False)
        page.get_by_role("button", name="Open your own").click()
        dialog = page.get_by_role("dialog")
        weights, data = (dialog.locator("input[type=file]").nth(k) for k in (0, 1))
        return page, explorer, weights, data

    return open_one


def test_dropped_weights_and_data_are_previewed_and_then_explored(open_own):
    page, explorer, weights, data = open_own()
    weights.set_input_files(weight_files())
    data.set_input_files([data_file()])
    page.get_by_text("3 checkpoints of one run").first.wait_for()
    page.get_by_text("Recognized from names and shapes: Multilayer perceptron").first.wait_for()
    inputs, targets = examples()
    losses = [F.cross_entropy(network(inputs), targets).item() for network in run()]
    page.get_by_text(f"{losses[-1]:.3g}", exact=True).first.wait_for()
    page.get_by_text("60 training, 9 test").first.wait_for()
    page.get_by_role("button", name="Explore", exact=True).click()
    wait(page, lambda: explorer.state.model.startswith("own-"))
    key = explorer.state.model
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.model == key, 40)
    page.get_by_text("checkpoint 3 of 3, step 20").first.wait_for()
    found = explorer.state.result.profile["train_loss"]
    np.testing.assert_allclose(found[::4], losses, rtol=1e-5)
    assert explorer.state.steps == list(STEPS)
    assert sources.load(key).label == "net"
    page.get_by_text("net, trajectory plane").first.wait_for()
    page.get_by_role("dialog").wait_for(state="hidden")
    page.get_by_role("button", name="Open your own").click()  # files and choices are still there
    page.get_by_role("heading", name="Open your own").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Open your own").wait_for(state="hidden")
    page.get_by_role("button", name="Open your own").click()
    page.get_by_text("3 checkpoints of one run").first.wait_for()
    page.get_by_text(f"{losses[-1]:.3g}", exact=True).first.wait_for()


def test_a_wrong_file_is_told_in_the_dialog_and_can_be_taken_out(open_own):
    page, explorer, weights, data = open_own()
    weights.set_input_files([*weight_files()[:1], dropped("net_10.safetensors", b"no tensors")])
    data.set_input_files([data_file()])
    page.get_by_text("net_10.safetensors cannot be read as safetensors").first.wait_for()
    page.get_by_text("Inputs: x. Targets: y.").first.wait_for()
    assert page.get_by_role("button", name="Explore", exact=True).is_disabled()
    item = page.locator(".filepond--item[data-filepond-item-state=processing-complete]", has_text="net_10")
    item.locator(".filepond--action-revert-item-processing").click()
    page.get_by_text("Accuracy on a sample").first.wait_for()
    assert page.get_by_role("button", name="Explore", exact=True).is_enabled()
    assert explorer.state.message == ""
