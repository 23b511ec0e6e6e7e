"""ComfyUI's page with this pack, in a browser without a window."""

from __future__ import annotations

import pytest
from comfy_hosts import ComfyUI, name_of_page, pages
from comfy_server import serving
from desk import HEIGHT, WIDTH, Desk, folder_of_screenshots
from needs import present

# Without a GPU; WebGL, which the page wants, is computed. No name beyond this machine is found.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="session", params=pages() or [None], ids=lambda host: name_of_page(host) if host else "no host")
def comfyui(request) -> ComfyUI:
    """Each ComfyUI with each front end of tests/comfy_hosts.py."""
    return present(request.param)


@pytest.fixture(scope="session")
def server(comfyui, shared_cases, tmp_path_factory):
    """Each of them as a server."""
    with serving(comfyui, shared_cases, tmp_path_factory.mktemp("comfyui")) as server:
        yield server


# One for each file of tests, not for all: while it runs, no other test in this process may start an event loop.
@pytest.fixture(scope="module")
def browser(chromium):
    """Chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # With scroll bars, as artists have them; playwright hides them.
        browser = playwright.chromium.launch(
            executable_path=chromium, args=list(FLAGS), ignore_default_args=["--hide-scrollbars"]
        )
        yield browser
        browser.close()


def opened(server, browser, folder) -> Desk:
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-US")
    desk = Desk(context.new_page(), server, folder_of_screenshots(folder))
    desk.set_locale("en")
    return desk


@pytest.fixture
def desk(chromium, server, browser, tmp_path):
    """ComfyUI's page with the default workflow, in English, and the helpers of `Desk`."""
    desk = opened(server, browser, tmp_path)
    yield desk
    desk.page.context.close()


@pytest.fixture(scope="module")
def shared_desk(chromium, server, browser, tmp_path_factory):
    """The same for all tests of a file: each of them begins with `Desk.clear`."""
    desk = opened(server, browser, tmp_path_factory.mktemp("screenshots"))
    yield desk
    desk.page.context.close()


@pytest.fixture
def page(desk):
    """The same as a bare playwright page."""
    return desk.page
