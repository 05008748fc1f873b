"""The page of ``analyze --html`` in a real browser: wide and narrow, light and dark; skipped where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest

from adsp_mpi import simulate
from adsp_mpi.cli.app import run

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(browser.program() is None, reason=f"no browser: none of {', '.join(browser.PROGRAMS)} in PATH"),
]
SHORT: dict[str, Any] = {
    "model": {"name": "softmax"},
    "devices": {"latency_s": 0.05},
    "stop": {"max_time_s": 4.0, "target_loss": 0.5},
}
FIGURES_OF_A_RUN = 6
FIGURES_COMPARED = 6
WIDTHS = (1280, 390)
SIZES = """
[...document.querySelectorAll("figure svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  return [box.width, box.height, box.left, box.right];
})
"""
OUTSIDE = """
[...document.querySelectorAll("figure svg text")].filter(text => {
  const box = text.getBoundingClientRect();
  return box.left < -1 || box.right > innerWidth + 1;
}).map(text => text.textContent)
"""
# The contrast of every text of a figure with the page, by WCAG 2.
CONTRASTS = """
(() => {
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll("figure svg text")].map(text => {
    const ink = luminance(getComputedStyle(text).fill);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  });
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Return the pages of one run and of two, by the number of figures on them."""
    folder = tmp_path_factory.mktemp("pages")
    runs = [
        simulate({**SHORT, "sync": {"scheme": scheme}, "output": {"dir": str(folder), "name": f"a-run-of-{scheme}"}})
        for scheme in ("adsp", "ssp")
    ]
    folders = [str(result.folder) for result in runs]
    one, two = folder / "one.html", folder / "two.html"
    assert run(["analyze", folders[0], "--html", str(one)]) == 0
    assert run(["analyze", *folders, "--html", str(two)]) == 0
    return {FIGURES_OF_A_RUN: one, FIGURES_COMPARED + 2 * FIGURES_OF_A_RUN: two}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.open_page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_there_and_nothing_is_loaded_or_cut(pages, page, width, scheme, tmp_path):
    for n_figures, path in pages.items():
        page.look_at(path, width, scheme)
        sizes = page.value(SIZES)
        assert len(sizes) == n_figures
        for shown_width, height, left, right in sizes:
            assert shown_width > 250
            assert height > 120
            assert left >= 0
            assert right <= width
        assert page.value(OUTSIDE) == []
        assert page.value("document.documentElement.scrollWidth") <= width
        assert min(page.value(CONTRASTS)) > 4.5
        assert page.complaints == []
        assert page.requests == [path.as_uri()]
        page.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000


def test_light_and_dark_differ(pages, page):
    background = "getComputedStyle(document.body).backgroundColor"
    line = "getComputedStyle(document.querySelector('figure svg [style*=\"stroke: var(--ink-0072b2\"]')).stroke"
    seen = []
    for scheme in ("light", "dark"):
        page.look_at(pages[FIGURES_OF_A_RUN], WIDTHS[0], scheme)
        seen.append((page.value(background), page.value(line)))
    assert seen == [("rgb(255, 255, 255)", "rgb(0, 114, 178)"), ("rgb(21, 24, 27)", "rgb(87, 169, 226)")]


def test_the_browser_would_complain(page, tmp_path):
    """The proof that an empty list of complaints means something."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><html><body><img src='http://localhost/x.png'><script>oops()</script></body></html>"
    )
    page.look_at(path, WIDTHS[0], "light")
    deadline = time.monotonic() + 10
    while len(page.complaints) < 2 and time.monotonic() < deadline:
        page.value("1")
        time.sleep(0.05)
    assert any("oops is not defined" in complaint for complaint in page.complaints)
    assert "http://localhost/x.png" in page.requests
