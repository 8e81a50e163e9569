"""Find a Chromium or Chrome for the browser tests. As a script: install one if need be, print its path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)


def find_browser() -> str | None:
    """The first browser that starts: one of the system, else Playwright's own, else None."""
    return next((path for path in candidates() if starts(path)), None)


def candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, COMMANDS))
    yield from filter(os.path.exists, APPLICATIONS)
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if Path(own).exists():
        yield own


def starts(path: str) -> bool:
    """Whether the browser tells its version: a snap's placeholder or one that lacks a library does not."""
    if sys.platform == "win32":  # there, --version opens a window
        return True
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def install_browser() -> str | None:
    """Playwright's Chromium; where that does not start, the system's package."""
    attempt(sys.executable, "-m", "playwright", "install", "chromium")
    if (path := find_browser()) or not shutil.which("apt-get"):
        return path
    root = [] if os.geteuid() == 0 else ["sudo"]
    attempt(*root, "apt-get", "update")
    attempt(*root, "apt-get", "install", "-y", "chromium")
    return find_browser()


def attempt(*command: str) -> None:
    print("$", *command, file=sys.stderr, flush=True)
    try:
        subprocess.run(command, stdout=sys.stderr)
    except OSError as error:
        print(error, file=sys.stderr)


if __name__ == "__main__":
    browser = find_browser() or install_browser()
    if browser is None:
        sys.exit("No browser for the tests: install Chromium or Google Chrome, then run this again.")
    print(browser)
