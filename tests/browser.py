"""A real browser for tests of pages: Chromium without a window, steered by Selenium.

Import the fixture where it is used: ``from tests.browser import browser``. It skips
where Chromium, its driver or Selenium are not installed.
"""

import base64
import json
import shutil
from pathlib import Path

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--hide-scrollbars", "--disable-dev-shm-usage"),
    # The same pixels everywhere, and none of the system's larger letters.
    *("--force-device-scale-factor=1", "--font-render-hinting=none"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Return a `Browser`; it is closed after the module."""
    chromium = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs Chromium and chromedriver (Debian: chromium-driver)")
    pytest.importorskip("selenium", reason="needs the package selenium")
    with pytest.MonkeyPatch.context() as patch:
        # Selenium looks for nothing on the network, and tells nobody.
        patch.setenv("SE_OFFLINE", "true")
        patch.setenv("SE_AVOID_STATS", "true")
        opened = Browser(chromium, driver, tmp_path_factory.mktemp("chromium"))
        yield opened
        opened.close()


class Browser:
    """Chromium with what tests of pages ask it."""

    def __init__(self, chromium, driver, folder):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*_FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        options.set_capability(
            "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
        )
        self.driver = webdriver.Chrome(options, Service(driver))

    def close(self):
        """End the browser."""
        self.driver.quit()

    def open(self, where, width=1280, height=900):
        """Open a file or an address in a window of so many CSS pixels."""
        self.errors(), self.requests()  # those of pages before
        self.resize(width, height)
        address = where.absolute().as_uri() if isinstance(where, Path) else where
        self.driver.get(address)

    def resize(self, width, height=900):
        """Show the page in a window of so many CSS pixels, as a phone would."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self._command("Emulation.setDeviceMetricsOverride", mobile=width < 500, **size)

    def ask(self, script, *values):
        """Return what JavaScript returns (its text has a ``return``)."""
        return self.driver.execute_script(script, *values)

    def errors(self):
        """Return the messages of the console since the last call, warnings too."""
        return [line["message"] for line in self.driver.get_log("browser")]

    def requests(self):
        """Return the addresses that the page asked for since the last call."""
        messages = [
            json.loads(line["message"])["message"]
            for line in self.driver.get_log("performance")
        ]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
            # Not the browser's own pages.
            and not message["params"]["request"]["url"].startswith("chrome:")
        ]

    def picture(self, path):
        """Write the whole page as a PNG, and return the path."""
        height = self.ask("return document.documentElement.scrollHeight")
        width = self.ask("return window.innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        taken = self._command(
            "Page.captureScreenshot", captureBeyondViewport=True, clip=clip
        )
        path.write_bytes(base64.b64decode(taken["data"]))
        return path

    def printed(self):
        """Return the page as the bytes of a PDF, on the paper that it asks for."""
        options = {"printBackground": True, "preferCSSPageSize": True}
        return base64.b64decode(self._command("Page.printToPDF", **options)["data"])

    def media(self, kind):
        """Show the page as on ``print``, or on ``screen``."""
        self._command("Emulation.setEmulatedMedia", media=kind)

    def _command(self, name, **values):
        return self.driver.execute_cdp_cmd(name, values)


# The contrast of every text that can be seen with what is behind it (WCAG 2.1, 1.4.3).
CONTRASTS = """
const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) =>
  0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
const behind = element => {
  for (let one = element; one; one = one.parentElement) {
    const colour = parse(getComputedStyle(one).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
    if (colour[3] > 0) return null;
  }
  return [255, 255, 255];
};
const found = new Map();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
  const ink = parse(getComputedStyle(element).color), paper = behind(element);
  if (!paper) { found.set("see-through", 0); continue; }
  const [high, low] = [light(ink), light(paper)].sort((a, b) => b - a);
  found.set(`${ink} on ${paper}`, (high + 0.05) / (low + 0.05));
}
return Object.fromEntries(found);
"""
