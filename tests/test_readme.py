"""What the README and the pages for newcomers show works as it stands there."""

import re
import sys
from pathlib import Path

import matplotlib.pyplot
import pytest
import torch

from explorer import course, sources

ROOT = Path(__file__).parent.parent
FILES = [("python", "import torch\nfrom torch import nn\n\n\ndef factory"), ("toml", r"\[\[model")]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs the Python of a page in an empty folder; what it leaves behind, and what it printed."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")

    def run_page(name):
        scope = {}
        for code in re.findall(r"```(?:\{code-cell\} )?python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL):
            exec(code, scope)
        return scope, capsys.readouterr().out.splitlines()

    yield run_page
    matplotlib.pyplot.close("all")


def test_the_readme_shows_the_trained_network_s_own_loss_and_ways_around_a_barrier(run):
    scope, printed = run("README.md")
    digits = scope["digits"]
    own = digits.loss_function(digits.model(digits.train.inputs), digits.train.targets).item()
    assert abs(float(printed[-2]) - own) < 1e-5 * own
    assert printed[0] == "81 of 16641 nodes computed"
    assert abs(float(scope["line"].sel(alpha=1)) - own) < 1e-5 * own
    assert scope["valley"].facts["eigenvalues"][0] == pytest.approx(
        scope["curvature"]["principal_curvatures"][0], rel=1e-4
    )
    straight, aligned, curve = (float(number) for number in re.findall(r"[\d.]+", printed[-1]))
    assert straight > 1
    assert aligned < 0.1 * straight
    assert curve < 0.05 * straight


def test_the_page_on_other_frameworks_runs(run):
    scope, printed = run("docs/other-frameworks.md")
    assert printed == ["(9, 9) True", "True"]
    assert abs(float(scope["line"].isel(alpha=5)) - scope["mlp"].loss_) < 0.1


def test_the_page_on_paths_runs(run):
    scope, printed = run("docs/paths.md")
    straight, curve, band = scope["straight"], scope["curve"], scope["band"]
    assert f"{straight.barrier:.3f}" in printed[0]
    assert max(path.barrier for path in (curve, scope["chain"], band)) < 0.05 * straight.barrier
    assert float(scope["landscape"]["loss"].sel(alpha=0, beta=0)) == pytest.approx(float(curve.profile[0]), rel=1e-5)
    assert {"stopped 50", "converged True"} <= set(printed)
    assert scope["line"].barrier < 0.1 * straight.barrier  # aligned
    saddle, ends = scope["saddle"], scope["ways"].ends
    assert (saddle.kind, [end.kind for end in ends]) == ("saddle", ["minimum", "minimum"])
    assert max(end.loss for end in ends) < saddle.loss
    assert list(scope["run"].steps) == list(range(0, 51, 5))
    lowest = scope["landscape"]["loss"].min()
    assert scope["tree"].minima[0].value == pytest.approx(float(lowest))


def test_the_page_on_a_model_of_one_s_own_runs_in_python_and_from_its_files(run, tmp_path):
    scope, _ = run("docs/your-model.md")
    explorer, text = scope["explorer"], (ROOT / "docs/your-model.md").read_text()
    explorer.runner.close()
    assert (explorer.state.subspace, len(explorer.source.steps)) == ("trajectory", 40)
    saved = sources.open_plane(Path("plane.safetensors").read_bytes())
    explorer.state.param.update(saved=saved, subspace="saved")
    across = explorer.source.subspace(explorer.state.request).directions[0]
    memory = {n: scope["optimizer"].state[p]["exp_avg"] for n, p in scope["model"].named_parameters()}
    length = torch.sqrt(sum((m**2).sum() for m in memory.values()))
    torch.testing.assert_close(dict(across), {n: m / length for n, m in memory.items()})
    module, course_file = (re.search(rf"```{kind}\n({start}.*?)```", text, re.DOTALL)[1] for kind, start in FILES)
    (tmp_path / "nets_of_the_docs.py").write_text(module)
    (tmp_path / "course.toml").write_text(course_file.replace("nets:", "nets_of_the_docs:"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.path", [*sys.path])
        labels = [sources.load(key).label for key in course.read(tmp_path / "course.toml")]
    assert labels == ["small", "spirals_mlp"]
