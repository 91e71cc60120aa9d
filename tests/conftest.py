"""What the tests share: a quiet environment, a data folder, a picture, a browser.

Nothing of svdlab is patched anywhere; tests run the real demo checkpoints.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

# Before gradio or huggingface_hub is imported anywhere: both read these once. Nothing here may reach a network,
# and a proxy would stand between a test and the server it has started.
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
# Each worker of the tests has ports of its own: a port that one has found free, another may take before it is bound.
os.environ["GRADIO_SERVER_PORT"] = str(7860 + 200 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]))
for _name in ("http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.upper(), None)

# A job started in the background ignores Ctrl-C, and so does all it starts; tests that press it need it heard.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The address bar's popup, which nobody sees, is a page of its own, a quarter of what each page of ours takes. The rest
# is what Playwright leaves out, since only the last such list counts.
WITHOUT = (
    *(
        "WebUIOmniboxPopup",
        "WebUIOmniboxFullPopup",
        "WebUIOmniboxAimPopup",
        "AimEnabled",
        "PreloadTopChromeWebUI",
    ),
    *(
        "AvoidUnnecessaryBeforeUnloadCheckSync",
        "DestroyProfileOnBrowserClose",
        "HttpsUpgrades",
        "LensOverlay",
    ),
    *("HttpsFirstBalancedModeAutoEnable", "MediaRouter", "PaintHolding", "ThirdPartyStoragePartitioning"),
    *(
        "AvoidCorsURLLoaderRestartOnRedirect",
        "OptimizationHints",
        "NetworkTimeServiceQuerying",
        "PreconnectToSearch",
    ),
)
CHROMIUM_FLAGS = (
    f"--disable-features={','.join(WITHOUT)}",
    "--no-sandbox",
    "--use-fake-device-for-media-stream",  # a camera that shows a test picture, and is allowed
    "--use-fake-ui-for-media-stream",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers give /dev/shm 64 MB, a page of videos wants more
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",  # the page must do without
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for the browser is a browser test without saying so twice."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session", autouse=True)
def _no_ones_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever names no data folder gets one of this session: a person's own, or a home nobody may write, is left."""
    os.environ["SVDLAB_DATA_DIR"] = str(tmp_path_factory.mktemp("unnamed") / "data")


@pytest.fixture(autouse=True)
def _quick_collections() -> None:
    """imageio collects garbage for every video it closes, a third of a second each once torch and gradio are here.

    What lives when a test begins is left out of that; what is garbage by then has been collected.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own, named by SVDLAB_DATA_DIR; not made yet, as on a first start."""
    folder = tmp_path / "data"
    monkeypatch.setenv("SVDLAB_DATA_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def demo_pair() -> tuple[str, str]:
    """The embedded 1.0 and 1.1: always there, never a reason to skip."""
    return "demo-1-0", "demo-1-1"


@pytest.fixture(scope="session")
def example_picture() -> Path:
    """One of the example pictures that come with svdlab."""
    folder = ROOT / "assets" / "examples"
    return next(path for path in sorted(folder.iterdir()) if path.suffix in {".jpg", ".png", ".webp"})


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where browser tests leave what they saw: SVDLAB_SCREENSHOTS, else a temporary folder."""
    named = os.environ.get("SVDLAB_SCREENSHOTS")
    folder = Path(named).absolute() if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium that starts; the test is skipped where there is none."""
    for name in filter(None, (os.environ.get("SVDLAB_CHROMIUM"), *CHROMIUM_NAMES)):
        path = shutil.which(name)
        # Run, not only found: on Ubuntu `chromium-browser` may be a note that asks for a snap.
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip("no Chromium on the PATH (apt-get install chromium, or set SVDLAB_CHROMIUM)")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless Chromium driven by Playwright, with a profile of its own.

    One per test module: while it runs, this thread cannot start another Playwright or an event loop, so the
    module after it finds a clean thread again.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages at a given size, each with storage of its own: `new_page(390, 844, phone=True)`.

    An uncaught exception in a page fails the test.
    """
    contexts = []
    thrown: list[str] = []

    def open_page(width: int, height: int, *, phone: bool = False) -> Page:
        size: ViewportSize = {"width": width, "height": height}
        context = browser.new_context(viewport=size, has_touch=phone, is_mobile=phone, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: thrown.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not thrown, f"the page threw: {thrown}"


@pytest.fixture
def page_1440(new_page: Callable[..., Page]) -> Page:
    """A page as on a laptop, 1440×900."""
    return new_page(1440, 900)


@pytest.fixture
def page_390(new_page: Callable[..., Page]) -> Page:
    """A page as on a phone, 390×844 with touch."""
    return new_page(390, 844, phone=True)
