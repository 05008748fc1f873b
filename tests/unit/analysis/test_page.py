"""The page of some runs: well-formed, complete, and without anything that is loaded."""

import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from traces import add, empty_trace, two_workers, with_everything

from adsp_mpi.analysis.inline_svg import palette
from adsp_mpi.analysis.page import _OVERVIEW, PageRun, html_page
from adsp_mpi.analysis.summary import summarize
from adsp_mpi.analysis.tables import Table

VOID = {"meta", "link", "br", "path", "use", "rect"}  # the last three may close themselves
FIGURES_OF_A_RUN = ["Time of each worker", "Global loss", "Accuracy", "Commits per check period", "Staleness"]
FIGURES_OF_A_RUN += ["Commits of each worker"]
FIGURES_COMPARED = ["Global loss", "Accuracy", "Time to target", "Time of all workers", "Steps and commits"]
FIGURES_COMPARED += ["Bytes moved"]
NARROW_SPACE = "\u00a0"


class Outline(HTMLParser):
    """What a page is made of; complains about elements that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open: list[Any] = []
        self.labels, self.ids, self.links, self.texts = [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self._note(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self._note(tag, dict(attrs))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())

    def _note(self, tag, attrs):
        self.links += [attrs[name] for name in ("href", "src", "xlink:href") if name in attrs]
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "svg":
            assert attrs["role"] == "img"
            self.labels.append(attrs["aria-label"])
        if tag == "html":
            assert attrs["lang"] == "en"


def page_run(trace, name="mine", target_loss=0.3, **given):
    return PageRun(name, summarize(trace, target_loss), trace, **given)


@pytest.fixture(scope="module")
def pages():
    """Return the pages of one run and of two."""
    first, second = (
        page_run(two_workers(), "first", state="not finished"),
        page_run(two_workers(scheme="bsp"), "second"),
    )
    return {1: html_page([first]), 2: html_page([first, second])}


def headings(outline):
    return [label.partition(".")[0] for label in outline.labels]


def test_one_run(pages):
    outline = Outline(pages[1])
    assert headings(outline) == FIGURES_OF_A_RUN
    assert outline.texts["title"] == ["adsp, 2 workers, virtual driver · adsp_mpi"]
    assert outline.texts["h1"] == ["adsp, 2 workers, virtual driver"]
    assert len(outline.texts["figcaption"]) == len(FIGURES_OF_A_RUN)
    tiles = dict(zip(outline.texts["dt"], outline.texts["dd"][::2], strict=False))
    assert tiles["Time to target"] == "not reached"
    assert tiles["Accuracy"] == f"87.5{NARROW_SPACE}%"
    assert tiles["Blocked"] == f"2.5{NARROW_SPACE}%"
    assert "not finished" in outline.texts["p"]
    assert outline.texts["caption"][:2] == ["Workers", "Commits of each worker"]
    assert "1 commit of worker 0 refused, not finite: try a lower learning rate" in outline.texts["li"]


@pytest.mark.parametrize("n", [1, 2])
def test_nothing_is_loaded_and_no_name_is_twice(pages, n):
    text = pages[n]
    outline = Outline(text)
    assert not re.search(r"https?:|//\w|@import|<script|url\((?!#)", text)
    assert len(set(outline.ids)) == len(outline.ids)
    for link in outline.links:
        assert link == "data:," or link[1:] in outline.ids  # a place on the page
    used = set(re.findall(r"var\((--ink-\w+)", text))
    known = set(re.findall(r"(--ink-\w+):", palette(is_dark=True)))
    assert used <= known


def test_several_runs_are_compared_first(pages):
    outline = Outline(pages[2])
    assert headings(outline) == FIGURES_COMPARED + 2 * FIGURES_OF_A_RUN
    assert outline.texts["h2"] == ["All runs", "first", "second"]
    assert outline.texts["h1"] == ["2 runs compared"]
    assert outline.texts["th"][:4] == ["run", "scheme", "workers", "time to target (s)"]
    assert outline.texts["td"][:2] == ["first", "adsp"]
    assert "80.00" in outline.texts["td"][:14]  # compute %


def test_hidden_time_and_tables_of_a_scheme_are_on_the_page_where_there_are_some(pages):
    assert not any("beside steps" in text for text in Outline(pages[1]).texts["dd"])
    assert "hidden %" not in pages[1] + pages[2]
    trace = with_everything(scheme="adacomm")
    add(trace, "tau", time_s=3, tau=20, loss=1.5, decision="tau_0, given")
    outline = Outline(html_page([page_run(trace), page_run(two_workers(), "second")]))
    assert "hidden %" in outline.texts["th"][: len(_OVERVIEW) + 2]
    assert "25.00" in outline.texts["td"][: len(_OVERVIEW) + 2]
    (split,) = [label for label in outline.labels if "hidden" in label]
    assert split.endswith(f"; commits and pulls hidden beside steps 25.0{NARROW_SPACE}%.")
    assert any(text.endswith(f", 25.0{NARROW_SPACE}% beside steps") for text in outline.texts["dd"])
    assert "Table tau of adacomm" in outline.texts["caption"]


def test_names_and_texts_of_others_are_escaped():
    trace = two_workers(configuration='note = "<script>"')
    add(trace, "events", time_s=1, worker=1, kind="left", text="<img src=x>")
    text = html_page([page_run(trace, "<b>&")] * 2)
    assert "<script>" not in text
    assert "<img" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;" in text
    Outline(text)


@pytest.mark.parametrize("n_workers", [1, 36])
def test_a_run_without_anything_has_a_page(n_workers):
    outline = Outline(html_page([page_run(empty_trace(n_workers=n_workers), state="still running: until 0 s")] * 2))
    assert "Accuracy" not in headings(outline)[len(FIGURES_COMPARED) :]
    assert "still running: until 0 s" in outline.texts["p"]


def test_a_run_that_diverged_has_a_page():
    trace = empty_trace()
    for time_s, loss in enumerate([2.0, 1e30, math.inf, math.nan]):
        add(trace, "loss", time_s=time_s, loss=loss, accuracy=math.nan)
    assert headings(Outline(html_page([page_run(trace)])))[:2] == ["Time of each worker", "Global loss"]


def test_further_tables_and_the_same_page_every_time(pages):
    extra = [Table("t", "Local models", ["model"], [["worker 0"]])]
    again = html_page([page_run(two_workers(), "first", state="not finished", extra=extra)])
    assert Outline(again).texts["caption"][-2:] == ["Local models", "Totals"]
    assert again.replace(html_table(again, "Local models"), "") == pages[1]


def html_table(text, caption):
    """Return the part of a page that a table is."""
    begin = text.index(f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">')
    return text[begin : text.index("</div>", begin) + len("</div>\n\n")]
