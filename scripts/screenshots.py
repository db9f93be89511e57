"""`python scripts/screenshots.py [REPORT]`: pictures of a page (the newest run's) in docs/.

Needs Playwright (a test dependency) and chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

DOCS = Path(__file__).resolve().parent.parent / "docs"
CLOSE_PROMPTS = """columns => columns.querySelectorAll("details").forEach(one => {
    if (one.innerText.startsWith("prompt")) one.open = false;
})"""
SIZE: ViewportSize = {"width": 1366, "height": 820}


def take(tab: Page) -> None:
    """The evaluation; an unsolved episode next to its reference, light and dark."""
    tab.locator("#evaluation").evaluate("one => one.scrollIntoView()")
    tab.screenshot(path=DOCS / "report-evaluation.png")
    tab.select_option("#filter-model", "in training")
    tab.select_option("#filter-verdict", "not solved")
    tab.click("#unfold")
    tab.locator("#columns").evaluate(CLOSE_PROMPTS)
    tab.locator("#microscope").evaluate("one => one.scrollIntoView()")
    tab.locator("#columns .token").nth(5).hover()
    tab.screenshot(path=DOCS / "report-microscope.png")
    tab.emulate_media(color_scheme="dark")
    tab.screenshot(path=DOCS / "report-microscope-dark.png")


def main(report: str = "runs/latest/evals/report.html") -> None:
    """Takes the pictures of a report's page."""
    if not Path(report).is_file():
        sys.exit(f"got {report}, expected a page: `python -m evals.page RUN` makes one")
    browser = shutil.which("chromium")
    if browser is None:
        sys.exit("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        # Root has no sandbox for itself; the page is our own file.
        chromium = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox"]
        )
        tab = chromium.new_page(viewport=SIZE)
        tab.goto(Path(report).resolve().as_uri())
        take(tab)
        chromium.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
