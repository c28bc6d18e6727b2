"""A headless Chromium, driven through chromedriver: plain HTTP with JSON, so nothing is needed."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, page: Path) -> None:
        """Load a page from the disk."""
        self._post("url", url=page.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function returns in the page."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def text(self, selector: str) -> str:
        """The text of an element."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def wait(self, script: str, seconds: float = 20) -> Any:
        """What a script returns once that is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.run(script):
                return found
            time.sleep(0.05)
        raise AssertionError(f"this did not become true in {seconds} s: {script}")

    def click(self, selector: str) -> None:
        """Click an element as a user does."""
        self._post(f"element/{self._find(selector)}/click")

    def type(self, selector: str, keys: str) -> None:
        """Type into an element, after what is in it; a file input takes a path."""
        self._post(f"element/{self._find(selector)}/value", text=keys)

    def draw(self, selector: str, strokes: Sequence[Sequence[tuple[float, float]]]) -> None:
        """Draw lines on an element with the pointer; (0, 0) to (1, 1) is the whole of it."""
        box = self.run(
            "const e = document.querySelector(arguments[0]); e.scrollIntoView();"
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]",
            selector,
        )
        actions: list[Mapping[str, Any]] = []
        for stroke in strokes:
            for place, (x, y) in enumerate(stroke):
                at = {"x": round(box[0] + x * box[2]), "y": round(box[1] + y * box[3])}
                actions.append({"type": "pointerMove", "duration": 10, **at})
                if not place:
                    actions.append({"type": "pointerDown", "button": 0})
            actions.append({"type": "pointerUp", "button": 0})
        pointer = {"type": "pointer", "id": "mouse", "actions": actions}
        self._post("actions", actions=[pointer])

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page, also below what windows have."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def media(self, **features: str) -> None:
        """Set media features, such as ``prefers_color_scheme="dark"``."""
        listed = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.devtools("Emulation.setEmulatedMedia", features=listed)

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own."""
        return self._post("goog/cdp/execute", cmd=command, params=parameters)

    def problems(self) -> list[str]:
        """What the page complained of since the last call: errors, refused scripts."""
        logged = self._post("se/log", type="browser")
        return [entry["message"] for entry in logged if entry["level"] == "SEVERE"]

    def screenshot(self) -> bytes:
        """A PNG of the whole page."""
        made = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(made["data"])

    def _find(self, selector: str) -> str:
        found = self._post("element", using="css selector", value=selector)
        return str(found[_ELEMENT])

    def _post(self, command: str, **body: Any) -> Any:
        return _request(f"{self._session}/{command}", body)


def _request(url: str, body: Any, method: str = "POST") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.load(error)["value"]["message"]) from error


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser that keeps its things, and downloads, in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = f"http://127.0.0.1:{port}"
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             f"--user-data-dir={folder / 'profile'}", "--window-size=1000,900",
             "--hide-scrollbars"]  # fmt: skip
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": {"binary": CHROMIUM, "args": flags},
        "goog:loggingPrefs": {"browser": "ALL"},
    }
    with subprocess.Popen(
        [str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as driver:
        try:
            _ready(server)
            made = _request(f"{server}/session", {"capabilities": {"alwaysMatch": wanted}})
            session = f"{server}/session/{made['sessionId']}"
            window = Browser(session)
            window.devtools(
                "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder)
            )
            yield window
            _request(session, None, "DELETE")
        finally:
            driver.terminate()


def _ready(server: str) -> None:
    for _ in range(200):
        try:
            if _request(f"{server}/status", None, "GET")["ready"]:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("chromedriver does not start")
