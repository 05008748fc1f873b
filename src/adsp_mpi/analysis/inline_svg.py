"""A figure as SVG inside a page: without anything that is loaded, in the page's colours, light or dark."""

from __future__ import annotations

import io
import re
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure

from adsp_mpi.analysis.style import OTHER_COLOUR, QUIET_COLOUR, SCHEME_COLOURS, SHARE_COLOURS, WINDOW_COLOURS, our_style

# Every colour of the panels -> the one that takes its place on a dark page.
_DARK = {
    "#000000": "#E4E7EA",
    "#FFFFFF": "#15181B",
    SCHEME_COLOURS["adsp"]: "#57A9E2",
    SCHEME_COLOURS["bsp"]: "#F28A4B",
    SCHEME_COLOURS["asp"]: "#3CC79B",
    SCHEME_COLOURS["ssp"]: "#E29BC3",
    SCHEME_COLOURS["fixed_adacomm"]: "#F0B440",
    SCHEME_COLOURS["adacomm"]: "#8ED0F5",
    SCHEME_COLOURS["r2sp"]: "#C9A95A",
    SCHEME_COLOURS["batchtune_bsp"]: "#F5B7A5",
    SCHEME_COLOURS["batchtune_fixed_adacomm"]: "#D8C53A",
    OTHER_COLOUR: "#A3A9AF",
    QUIET_COLOUR: "#69717A",
    SHARE_COLOURS["communication"]: "#4F9BCB",
    SHARE_COLOURS["blocked"]: "#D0609B",
    SHARE_COLOURS["other"]: "#B5A654",
    WINDOW_COLOURS[0]: "#1E252C",
    WINDOW_COLOURS[1]: "#28323B",
}


def inline_svg(figure: Figure, label: str, prefix: str) -> str:
    """Return a figure as an ``svg`` element.

    Parameters
    ----------
    label : what somebody hears who cannot see it
    prefix : of all names in it; no other figure of the page has it
    """
    text = io.StringIO()
    with our_style(), mpl.rc_context({"svg.hashsalt": prefix}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'xlink:href="#', f'href="#{prefix}-', body)
    body = re.sub(r"url\(#", f"url(#{prefix}-", body)
    body = re.sub(r"(?<=: )#([0-9a-f]{6})\b", _variable, body)
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
    return head + re.sub(r"\n\s*", "\n", body).strip()


def palette(is_dark: bool) -> str:
    """Return the declarations of the colours' variables for a light or a dark page."""
    return " ".join(f"{_name(light)}: {dark if is_dark else light};" for light, dark in _DARK.items())


def _variable(found: re.Match[str]) -> str:
    colour = found.group(0)
    return f"var({_name(colour)}, {colour})"


def _name(colour: str) -> str:
    return f"--ink-{colour[1:].lower()}"
