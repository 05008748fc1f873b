"""An experiment that takes a second, as a user would write it."""

import textwrap

TINY = textwrap.dedent(
    """
    [model]
    name = "softmax"

    [devices]
    profile = "1:1:3"

    [stop]
    target_loss = 0.6
    evaluations_below_target = 1
    max_time_s = 3.0

    [experiment]
    title = "A tiny one"
    claim = "It ends."
    seeds = [1, 2, 3]

    [[experiment.sweep]]
    "sync.scheme" = ["bsp", "adsp"]
    "devices.latency_s" = [0.0, 0.1]

    [experiment.tuning]
    grid = [0.1, 0.5]

    [experiment.quick]
    seeds = [1]
    stop = {max_time_s = 1.0}

    [[experiment.paper]]
    at = {"sync.scheme" = "bsp", "devices.latency_s" = 0.1}
    numbers = {time_to_target_s = 20}

    [[experiment.paper]]
    at = {"sync.scheme" = "adsp", "devices.latency_s" = 0.1}
    numbers = {time_to_target_s = 10}
    """
)


def write(folder, *changes, name="tiny.toml"):
    """Write the experiment with some of its text replaced; return its path as text."""
    text = TINY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)
