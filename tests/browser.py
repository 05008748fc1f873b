"""A headless Chromium for tests of pages, spoken to through the two pipes of its DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# no sandbox: tests run as root in a container; whatever it would ask of the network stays unanswered
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"),
)


def program() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """One page: a width, light or dark, and what it said.

    Attributes
    ----------
    complaints : console errors, exceptions and whatever else the browser logged about the page
    requests : addresses that the page asked for
    """

    def __init__(self, to_browser: int, from_browser: int, timeout_s: float) -> None:
        self._to, self._from, self._timeout_s = to_browser, from_browser, timeout_s
        self._number = 0
        self._session: str | None = None
        self._rest = b""
        self._events: list[str] = []
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def look_at(self, path: Path, width: int, scheme: str) -> None:
        """Open a file at a width, ``light`` or ``dark``, and wait until it is loaded."""
        self.complaints.clear()
        self.requests.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise ValueError(f"expression must be valid, got {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Carry out a method of the protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise ValueError(f"{method} must be understood, got {answer['error']}")
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout_s
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"the browser must answer within {self._timeout_s:g} s")
            chunk = os.read(self._from, 1 << 20)
            if not chunk:
                raise ConnectionError("the browser has gone")
            self._rest += chunk
        text, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        method, about = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(about["args"]))
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(about["entry"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])


@contextmanager
def open_page(profile: Path, timeout_s: float = 30.0) -> Iterator[Page]:
    """Start a browser with a profile folder of its own and hand over a page; nothing of it is left at the end."""
    chromium = program()
    assert chromium is not None
    to_browser, from_browser = os.pipe(), os.pipe()
    its_ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser[0], from_browser[1])]  # not 3 or 4 yet
    wiring = f'exec "$0" "$@" 3<&{its_ends[0]} 4>&{its_ends[1]}'
    browser = subprocess.Popen(
        ["bash", "-c", wiring, chromium, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=its_ends,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for end in (to_browser[0], from_browser[1], *its_ends):
        os.close(end)
    try:
        yield Page(to_browser[1], from_browser[0], timeout_s)
    finally:
        os.close(to_browser[1])
        os.close(from_browser[0])
        _end(browser)


def _end(browser: subprocess.Popen[bytes]) -> None:
    """End the browser and its processes: they are one group."""
    try:
        browser.wait(5)  # it ends by itself when its pipe does
    except subprocess.TimeoutExpired:
        os.killpg(browser.pid, 9)
        browser.wait(5)
