"""The page: what is in it, and what a browser makes of it."""

import json
import re
import shutil

import numpy as np
import pytest

from skdgam.intervals import make_intervals
from skdgam.report import write_report

pytest.importorskip("plotly")

HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=alert(1)>"
FOUND = {
    "morning": make_intervals([10.0, 2.0], [14.0, 5.0], ["run", "jump"], [0.25, 0.75]),
    HOSTILE: make_intervals([0.0], [4.0], HOSTILE, [0.5]),
    "quiet": make_intervals([], [], np.array([], dtype=str), []),
}
TRUE = {"morning": make_intervals([2.0], [6.0], "jump"), "elsewhere": make_intervals([0], [1], "x")}


def data_of(path):
    page = path.read_text(encoding="utf-8")
    return json.loads(re.search('<script id="data".*?>(.*?)</script>', page, re.S)[1])


def test_the_page_holds_what_was_found(tmp_path):
    path = tmp_path / "report.html"
    curve = np.array([0.0, 0.5, 1.0]), np.array([0.2, 0.9], dtype=np.float32)
    media = {"morning": tmp_path / "sound" / "mor ning.mp3", "quiet": tmp_path / "quiet.mp4"}
    write_report(path, FOUND, TRUE, attention={"morning": curve}, media=media, title="A & B")
    morning, hostile, quiet = data_of(path)["recordings"]
    assert morning["found"] == [[2.0, 5.0, "jump", 0.75], [10.0, 14.0, "run", 0.25]]
    assert morning["true"] == [[2.0, 6.0, "jump"]]
    assert morning["attention"] == [[0.0, 0.5, 1.0], [0.2, 0.9, 0.9]]
    assert morning["media"] == {"kind": "audio", "url": "sound/mor%20ning.mp3"}
    assert hostile["name"] == hostile["found"][0][2] == HOSTILE
    assert hostile["true"] is hostile["attention"] is hostile["media"] is None
    assert quiet["media"] == {"kind": "video", "url": "quiet.mp4"}
    assert "<title>A &amp; B</title>" in path.read_text(encoding="utf-8")


def test_map_is_that_of_the_recordings_with_annotations(tmp_path):
    write_report(tmp_path / "report.html", FOUND, TRUE)
    metrics = data_of(tmp_path / "report.html")["metrics"]
    # The jump is found at tIoU 3/4, and no other class is there to be found.
    assert metrics["map"] == [1.0] * 7 + [0.0] * 2
    assert metrics["n"] == 1
    write_report(tmp_path / "report.html", FOUND)
    assert data_of(tmp_path / "report.html")["metrics"] is None


def test_nothing_is_loaded_from_a_network(tmp_path):
    write_report(tmp_path / "report.html", FOUND)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'<(script|link|img)[^>]*(src|href)="', page.split("<body>")[0])
    assert "<script src" not in page


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there must be a recording"):
        write_report(tmp_path / "report.html", {})
    with pytest.raises(ValueError, match="notes.txt ends in none of .mp4"):
        write_report(tmp_path / "report.html", FOUND, media={"quiet": "notes.txt"})
    assert not (tmp_path / "report.html").exists()


# --- in a browser ---


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Write a report and open it, and see that it complains of nothing."""
    page = browser.new_page(viewport={"width": 1100, "height": 700})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))

    def open_report(*arguments, **options):
        write_report(tmp_path / "report.html", *arguments, **options)
        page.goto((tmp_path / "report.html").as_uri())
        page.wait_for_selector("#timeline .main-svg", state="attached")
        return page

    yield open_report
    assert errors == []
    page.close()


def shown(page):
    return page.locator("#list button").evaluate_all(
        "all => all.map(b => b.firstChild.textContent)"
    )


def test_recordings_are_filtered_and_shown(opened):
    page = opened(FOUND, TRUE)
    assert shown(page) == list(FOUND)
    assert "mAP 100.0 % at tIoU 0.5" in page.locator("#summary").inner_text()
    assert page.locator("#name").inner_text() == "morning"
    assert page.locator("#timeline .point path").count() == 3  # two found, one true
    page.fill("#search", "QUI")
    assert shown(page) == ["quiet"]
    page.locator("#list button").click()
    assert page.locator("#name").inner_text() == "quiet"
    assert page.locator("#timeline .point path").count() == 0
    page.fill("#search", "")
    page.select_option("#class", "run")
    assert shown(page) == ["morning"]


def test_hostile_names_are_text(opened):
    page = opened(FOUND, title=HOSTILE)
    page.locator("#list button").nth(1).click()
    assert page.locator("#name").inner_text() == HOSTILE
    assert page.title() == HOSTILE
    assert page.locator("img, #list script, #name script").count() == 0


def test_weak_detections_can_be_hidden(opened):
    page = opened(FOUND)
    page.locator("#least").fill("0.9")
    page.locator("#least").dispatch_event("input")
    assert page.locator("#timeline .point path").count() == 1
    assert "1 of 2 detections" in page.locator("#list").inner_text()


def test_a_click_on_a_detection_seeks(opened, tmp_path):
    import wave

    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "none"))
        file.writeframes(bytes(2 * 8000 * 20))
    page = opened(FOUND, media={"morning": tmp_path / "sound.wav"})
    page.wait_for_function("document.querySelector('audio').readyState > 0")
    page.locator("#timeline .point path").nth(1).hover(force=True)
    box = page.locator("#timeline .point path").nth(1).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("document.querySelector('audio').currentTime >= 10")
    assert page.evaluate("document.querySelector('audio').currentTime") < 14


def test_five_hundred_recordings(opened):
    rng = np.random.default_rng(0)
    found = {}
    for i in range(500):
        start = np.sort(rng.uniform(0, 300, 40))
        labels = rng.choice(["a", "b", "c"], 40)
        found[f"recording {i}"] = make_intervals(start, start + 2, labels, rng.random(40))
    attention = {name: (np.arange(401) * 0.64, rng.random(400)) for name in found}
    page = opened(found, attention=attention)
    page.fill("#search", "recording 49")
    assert len(shown(page)) == 11
    page.locator("#list button").last.click()
    assert page.locator("#name").inner_text() == "recording 499"
