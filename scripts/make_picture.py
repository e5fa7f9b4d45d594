"""Makes the picture in the README: a real session with the demo desktop, as the console shows it.

    .venv/bin/python scripts/make_picture.py [FILE]

Needs what scripts/test.sh installs (Chromium, Playwright) and scripts/quickstart.sh (the demo desktop).
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from playwright.sync_api import Page, sync_playwright
from quickstart import Options, Quickstart
from started import Programs

PICTURE = Path(__file__).parent.parent / "technician_client" / "console" / "session.png"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SETTLE_MS = 2500


def take(page: Page, url: str, picture: Path) -> None:
    """Connect as a technician would, wait for the picture to settle, and take the page."""
    page.goto(url)
    page.get_by_role("link", name="Connect").or_(page.get_by_role("button", name="Connect")).first.click()
    gate = page.locator("#screen-gate")
    gate.locator("input[name=reason]").fill("The printer does not answer")
    gate.get_by_role("button", name="Ask the person").click()
    page.locator("html[data-state=live]").wait_for(state="attached")
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=picture)


def main(picture: Path) -> None:
    """Start everything in a folder of its own, take the picture, end everything."""
    os.umask(0o077)
    with tempfile.TemporaryDirectory() as folder:
        programs = Programs(Path(folder))
        options = Options(Path(folder), is_json=True, demo_allow=True, no_browser=True, stop=False)
        try:
            facts = Quickstart(options, programs, display="").run()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
                page = browser.new_page(viewport={"width": 1180, "height": 760})
                take(page, facts["console_url"], picture)
                browser.close()
        finally:
            programs.stop_all()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
