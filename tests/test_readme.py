"""What the README shows works as it stands there."""

import re
from pathlib import Path

import matplotlib

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_examples_run_and_show_the_trained_network_s_own_loss(capsys):
    matplotlib.use("Agg")
    scope = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(code, scope)
    matplotlib.pyplot.close("all")
    digits = scope["digits"]
    own = digits.loss_function(digits.model(digits.train.inputs), digits.train.targets).item()
    printed = capsys.readouterr().out.splitlines()
    assert abs(float(printed[-1]) - own) < 1e-5 * own
    assert printed[0] == "81 of 16641 nodes computed"
    assert abs(float(scope["line"].sel(alpha=1)) - own) < 1e-5 * own
