# SPDX-License-Identifier: PostgreSQL
"""Headless Chromium for tests, through chromedriver's W3C WebDriver interface and nothing else.

One page at a time. What the console says and every answer of the network that failed is kept by the driver and
given out once by console(). emulate() and scripts_off() use Chromium's own protocol through the driver.
"""
import base64
import http.client
import json
import os
import shutil
import subprocess
import time

from lib import Skip, until
from ports import free_port

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"    # WebDriver's name for a reference (W3C WebDriver, 12.2)
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
         "--disable-default-apps", "--no-proxy-server", "--lang=en-GB"]


class BrowserError(Exception):
    """What the driver refused."""


def missing():
    """Why there is no browser here, or None."""
    lacking = [p for p in ("chromium", "chromedriver") if not shutil.which(p)]
    return f"{' and '.join(lacking)} isn't installed" if lacking else None


class Browser:
    def __init__(self, folder, secure=()):
        """secure: origins that count as https, as they would be behind what ends TLS."""
        reason = missing()
        if reason:
            raise Skip(reason)
        os.makedirs(folder, exist_ok=True)
        self.folder, self.port, self.session = folder, free_port(), None
        env = {**os.environ, "HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder, "TZ": "UTC"}
        with open(os.path.join(folder, "chromedriver.log"), "wb") as log:
            self.driver = subprocess.Popen(["chromedriver", f"--port={self.port}"], stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log, env=env)
        try:
            until("chromedriver", 20, self.is_up, 0.1)
            wish = {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {
                "args": FLAGS + [f"--user-data-dir={folder}/profile",
                                 "--unsafely-treat-insecure-origin-as-secure=" + ",".join(secure)], "binary": shutil.which("chromium")}}
            made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wish}})
            self.session = made["sessionId"]
        except BaseException:
            self.close()
            raise

    def is_up(self):
        try:
            return self.call("GET", "/status")["ready"]
        except (OSError, http.client.HTTPException):
            return False

    def call(self, method, path, body=None):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            conn.request(method, path, json.dumps(body) if body is not None else None,
                         {"Content-Type": "application/json"})
            answer = conn.getresponse()
            value = json.loads(answer.read())["value"]
        finally:
            conn.close()
        if answer.status != 200:
            raise BrowserError(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def ask(self, method, path, body=None):
        return self.call(method, f"/session/{self.session}{path}", body)

    def devtools(self, command, **params):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    # -- looking -------------------------------------------------------------

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def script(self, text, *args):
        """A function's body in the page; its return value."""
        return self.ask("POST", "/execute/sync", {"script": text, "args": list(args)})

    def text(self, selector):
        return self.script("return document.querySelector(arguments[0]).innerText", selector)

    def texts(self, selector):
        return self.script("return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)", selector)

    def console(self):
        """What the console has said since the last time, as `LEVEL text`."""
        return [f"{one['level']} {one['message']}" for one in self.ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path):
        """All of the page, not only what the window shows."""
        taken = self.devtools("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        with open(path, "wb") as f:
            f.write(base64.b64decode(taken["data"]))

    # -- doing ---------------------------------------------------------------

    def element(self, selector):
        return self.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.ask("POST", f"/element/{self.element(selector)}/click", {})

    def double_click(self, selector):
        """Two clicks of a real mouse, 40 ms apart."""
        press, release, pause = ({"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0},
                                 {"type": "pause", "duration": 40})
        move = {"type": "pointerMove", "origin": {ELEMENT: self.element(selector)}, "x": 0, "y": 0}
        self.ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [
            move, press, release, pause, press, release]}]})

    def type(self, selector, text):
        """Into a field, over what is in it."""
        element = self.element(selector)
        self.ask("POST", f"/element/{element}/clear", {})
        self.ask("POST", f"/element/{element}/value", {"text": text})

    def press(self, key):
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": [
            {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]}]})

    def emulate(self, width=1280, height=900, scheme="light"):
        """A window's size and the reader's colour scheme."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                      mobile=width < 500)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def scripts_off(self, is_off=True):
        self.devtools("Emulation.setScriptExecutionDisabled", value=is_off)

    # -- the end -------------------------------------------------------------

    def close(self):
        try:
            if self.session:
                self.ask("DELETE", "")
        except (OSError, BrowserError, http.client.HTTPException):
            pass
        self.driver.terminate()
        deadline = time.monotonic() + 5
        while self.driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.driver.poll() is None:
            self.driver.kill()
            self.driver.wait()
