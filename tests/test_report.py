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


def media_of(path):
    return [recording["media"] for recording in data_of(path)["recordings"]]


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


def test_media_may_be_urls_and_lie_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    media = {
        "morning": "https://example.org/a%20b.MP4?token=1",
        HOSTILE: 'c: "früh" #1.webm',
        "quiet": tmp_path.parent / "quiet.ogg",
    }
    write_report("report.html", FOUND, media=media)
    assert media_of(tmp_path / "report.html") == [
        {"kind": "video", "url": "https://example.org/a%20b.MP4?token=1"},
        {"kind": "video", "url": "c%3A%20%22fr%C3%BCh%22%20%231.webm"},
        {"kind": "audio", "url": "../quiet.ogg"},
    ]


def test_media_are_found_from_a_page_in_a_linked_folder(tmp_path):
    (tmp_path / "deep" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "real")
    media = {"quiet": tmp_path / "link" / "quiet.mp4"}
    write_report(tmp_path / "link" / "report.html", FOUND, media=media)
    assert media_of(tmp_path / "link" / "report.html")[2]["url"] == "quiet.mp4"


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
    assert page.locator("#least-shown").inner_text() == "0.25"
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


NAME = 'früh & "spät" #1 100%\'s'  # of a recording and of its file


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video of 20 s."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("clip") / f"{NAME}.webm"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libvpx", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(100):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 2 * k, np.uint8), "rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.fixture
def watched(opened, clip, tmp_path):
    """A report of a recording with a video, and of one with another."""
    (tmp_path / "videos").mkdir()
    media = {name: tmp_path / "videos" / f"{name}.webm" for name in (NAME, "quiet")}
    for path in media.values():
        shutil.copy(clip, path)
    page = opened({NAME: FOUND["morning"], "quiet": FOUND["quiet"]}, media=media)
    page.wait_for_function("document.querySelector('video').readyState > 0")
    return page


def video(page, what):
    return page.evaluate(f"document.querySelector('video').{what}")


def at(page, seconds):
    page.wait_for_function(
        f"Math.abs(document.querySelector('video').currentTime - {seconds}) < 0.01"
    )


def test_a_click_on_a_bar_plays_the_video_from_there(watched):
    box = watched.locator("#timeline .point path").nth(1).bounding_box()
    watched.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    watched.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    watched.wait_for_function("document.querySelector('video').currentTime > 10.1")
    assert not video(watched, "paused")
    assert video(watched, "currentTime") < 14


def test_keys_go_from_detection_to_detection(watched):
    for key, seconds in [("n", 2), ("n", 10), ("n", 10), ("p", 2), ("p", 2), ("n", 10)]:
        watched.keyboard.press(key)
        at(watched, seconds)
        assert video(watched, "paused")
    current = watched.locator("#found [aria-current=true]")
    assert current.inner_text().split("\n") == ["run", "0:10.00 – 0:14.00, score 0.250"]


def test_keys_begin_where_the_video_is(watched):
    watched.evaluate("document.querySelector('video').currentTime = 12")
    watched.wait_for_function("document.getElementById('time').textContent === '0:12.00'")
    watched.keyboard.press("p")
    at(watched, 10)
    watched.evaluate("document.querySelector('video').currentTime = 1")
    watched.wait_for_function("document.getElementById('time').textContent === '0:01.00'")
    watched.keyboard.press("n")
    at(watched, 2)


def test_space_plays_and_pauses_but_not_while_somebody_types(watched):
    watched.keyboard.press(" ")
    watched.wait_for_function("!document.querySelector('video').paused")
    watched.keyboard.press(" ")
    watched.wait_for_function("document.querySelector('video').paused")
    watched.locator("#search").press_sequentially(" np")
    assert video(watched, "paused")
    assert watched.locator("#search").input_value() == " np"


def test_a_line_follows_the_video(watched):
    line = "document.getElementById('timeline').layout.shapes.map(s => s.x0)"
    assert watched.evaluate(line) == []
    watched.evaluate("document.querySelector('video').currentTime = 7.5")
    watched.wait_for_function(f"Math.abs({line}[0] - 7.5) < 0.01")


def test_the_timeline_is_as_long_as_the_video(watched):
    watched.wait_for_function("document.getElementById('timeline').layout.xaxis.range[1] > 19.5")


def test_one_video_is_loaded_at_a_time(watched):
    assert watched.locator("video").count() == 1
    assert video(watched, "ariaLabel") == NAME
    watched.locator("#list button").nth(1).click()
    assert watched.locator("video").count() == 1
    assert video(watched, "src").endswith("videos/quiet.webm")


def test_a_folder_with_page_and_videos_can_be_moved(watched, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("report.html", "videos"):
        (tmp_path / name).rename(moved / name)
    watched.goto((moved / "report.html").as_uri())
    watched.wait_for_function("document.querySelector('video').readyState > 0")


def test_a_video_that_is_not_there_is_named(opened, tmp_path):
    page = opened(FOUND, media={"morning": tmp_path / "gone.mp4"})
    page.wait_for_function("document.getElementById('hint').textContent === 'cannot play gone.mp4'")


def test_detections_can_be_visited_without_a_video(opened):
    page = opened(FOUND)
    page.locator("#next").click()
    page.locator("#next").click()
    assert page.locator("#found [aria-current=true]").inner_text().startswith("run")
    page.locator("#found button").first.press("Enter")
    assert page.locator("#found [aria-current=true]").inner_text().startswith("jump")
    assert page.locator("#time").inner_text() == "0:02.00"


def test_the_page_says_what_its_shades_are(opened):
    page = opened(FOUND, TRUE)
    key = "ground truth", "detections, score 0.25 (light) to 0.75 (dark)"
    assert page.locator("#key > span").all_inner_texts() == [*key]
    one = {"only": make_intervals([2.0], [5.0], "jump", [0.7])}
    page = opened(one)
    assert page.locator("#key > span").all_inner_texts() == ["detections, score 0.7"]
    fill = page.locator("#timeline .point path").evaluate("bar => getComputedStyle(bar).fill")
    assert fill == "rgb(8, 48, 107)"  # the dark end
    assert page.locator("#summary").inner_text() == "1 recording, 1 detection."
    assert not page.locator("#least").is_visible()  # there is nothing to choose


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_nothing_is_wider_than_the_window(opened, width):
    label = "a class with a name that is far too long to stand beside its lane"
    found = {"a" * 90: make_intervals([1.0], [9.0], label, [0.5])}
    page = opened(found)
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    plot = page.locator("#timeline .nsewdrag").first.bounding_box()
    assert plot["width"] > page.locator("main").bounding_box()["width"] / 3


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
