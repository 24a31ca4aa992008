"""The report: what stands in it, and what it does in a browser that has no network and no screen."""

import base64
import io
import json
import re
import shutil
import time

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from test_evaluation import run as evaluate_toys
from torch import nn

from dataset.benchmarks.annotations import vggss_map
from dataset.benchmarks.index import BenchmarkIndex
from dataset.benchmarks.test_sets import TestSet
from dataset.frontends import FRONT_ENDS
from utils.evaluation.evaluate import heat_maps
from utils.evaluation.metrics import success_auc
from utils.evaluation.thresholds import RULES, choose
from utils.report import illustration
from utils.report.charts import draw_curves, draw_histogram
from utils.report.illustration import Illustrated, illustrate, outlines
from utils.report.numbers import by_class, by_size, facts, headline, table, tables
from utils.report.page import save_report

CLASSES = ("dog", "church bell", "</script><b>cat</b>")
EVIL = "<img src=x onerror=document.title='hacked'>"  # a name that no list forbids


class Growing(BenchmarkIndex):
    """Fifty boxes that grow from item to item; one is empty, and in one nothing sounds."""

    def __init__(self):
        super().__init__([EVIL, *(f"scene_{i:02d}" for i in range(1, 50))], [])
        self.classes = [CLASSES[i % 3] for i in range(50)]
        self.sounding = [i != 9 for i in range(50)]

    def gt_map(self, index):
        return vggss_map([] if index in (7, 9) else [(0.05, 0.1, 0.2 + 0.015 * index, 0.9)])


class Scenes(TestSet):
    """Grey frames; the odd ones have a sound, a tone."""

    def __init__(self):
        super().__init__(Growing(), 64, FRONT_ENDS["log_mel"])

    def frame(self, index):
        return np.full((64, 64, 3), 5 * index, np.uint8)

    def audio(self, index):
        return torch.full((3, 1, 96, 64), float(index))

    def waveform(self, index):
        return np.sin(0.2 * np.arange(48000)).astype(np.float32) if index % 2 else None

    def find_missing(self):
        return {}


class Guess(nn.Module):
    """A seeded coarse map for each sound."""

    def localize(self, image, audio):
        seeds = audio[:, 0, 0, 0, 0].long().tolist()
        return torch.stack([torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@pytest.fixture(scope="module")
def evaluation():
    return evaluate_toys(Illustrated(Scenes()), Guess())


@pytest.fixture(scope="module")
def results(evaluation):
    probed = {"max": {"threshold": 0.3, "silence": {"share": 0.25, "share_95": [0.2, 0.3]}}}
    made_by = {
        "sounds": "shuffled (seed 3)",
        "lists": [{"name": "toys_1.csv", "sha256": "0a1b"}],
        "partial": True,
        "ogl": None,
        "n": 1,
    }
    more = {"missing": [{"id": EVIL, "error": "cannot be read"}], "negative_audio": probed, "fingerprint": made_by}
    return {"method": "sacl", "testset": "toys", **evaluation.summary(RULES), **more}


@pytest.fixture(scope="module")
def report(tmp_path_factory, evaluation, results):
    path = tmp_path_factory.mktemp("report") / "report.html"
    save_report(path, results, evaluation)
    return path


def test_the_page_holds_everything_and_nothing_that_runs_by_itself(report, results):
    text = report.read_text()
    assert EVIL not in text and "<b>cat" not in text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text) and not list(report.parent.glob("*.partial"))
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    *ious, last = data["ious"]["fixed0.5"]
    assert len(ious) == 49 and ious == sorted(ious) and EVIL in data["id"]
    assert last is None and data["id"][-1] == "scene_09"
    assert np.mean([iou >= 0.5 for iou in ious]) == pytest.approx(results["ciou"])
    assert text.count("<table>") == 2 * len(RULES) + 3 and text.count("<svg role=") == 2
    stored = re.findall(r'<script type="application/json" id="item(\d+)">(.*?)</script>', text)
    assert [int(i) for i, _ in stored] == list(range(50))
    assert all(len(base64.b64decode(json.loads(part)["heat"])) == 4 * 16 for _, part in stored)


def test_numbers_are_those_of_the_results(evaluation, results):
    scored = [item for item in evaluation.items if item["sounding"]]
    ious = np.array([item["iou"] for item in scored])
    classes, sizes = by_class(scored, ious), by_size(scored, ious)
    dogs = ious[[item["class"] == "dog" for item in scored]]
    assert classes["dog"]["n"] == len(dogs) and classes["dog"]["auc"] == pytest.approx(success_auc(dogs))
    assert set(classes) == set(CLASSES) and [*classes] == sorted(
        classes, key=lambda name: (-classes[name]["ciou"], -classes[name]["auc"])
    )
    assert sum(numbers["n"] for numbers in sizes.values()) == 49
    assert (sizes["no valid box"]["n"], sizes["no valid box"]["ciou"]) == (1, 0)
    assert "ciou_95" in sizes["huge (up to 100%)"] and "ciou_95" not in sizes["no valid box"]
    found = tables(results)
    assert len(found) == 2 * len(RULES) + 1 and found[1][0] == "Rule fixed0.5, detection"
    negative = {"max": {"threshold": 0.3}, "max, silence": {"share": 0.25, "share_95": [0.2, 0.3]}}
    assert found[-1] == ("negative audio", negative)
    named = dict(facts(results))
    assert named["lists, toys_1.csv, sha256"] == "0a1b" and named["n"] == "1"
    assert named["partial"] == "yes" and named["ogl"] == "none"
    assert named["no valid box"] == "1, scored as missed: scene_07"
    assert headline(results).endswith("; sounds: shuffled (seed 3)")


def test_a_table_has_a_cell_for_each_number():
    whole = {"n": 3, "ciou": 0.25, "ciou_95": [0.1, 0.4], "rule": "median"}
    page = table("A & B", {"whole_image": whole, "<b>": {"n": 12, "f": np.nan}})
    assert "A &amp; B" in page and "&lt;b&gt;" in page and "<b>" not in page
    assert re.findall("<td>(.*?)</td>", page) == ["3", "0.250 <small>[0.100, 0.400]</small>", "12", "–"]
    assert re.findall(r'class="(\w+)"><th scope="row">', page) == ["baseline", "model"]
    assert "progress" not in page and '<progress value="0.500">' in table("", {"a": {"ciou": 0.5}}, bars=True)


def test_charts_take_the_colour_of_the_page():
    ious = np.array([0.0, 0.12, 0.3, 0.5, 0.55, 1.0])
    curves, histogram = draw_curves({"model": ious, "<oracle>": np.ones(6)}), draw_histogram(ious)
    assert f"model, area {success_auc(ious):.3f}" in curves and "<oracle>" not in curves
    assert 'aria-label="Histogram of IoU: 3 of 6 items reach 0.5"' in histogram
    for svg in (curves, histogram):
        assert "currentColor" in svg and "<?xml" not in svg and "<metadata>" not in svg
        assert svg == (draw_curves({"model": ious, "<oracle>": np.ones(6)}) if svg is curves else draw_histogram(ious))
    assert ">137</text>" in draw_histogram(np.ones(137))  # the last bin has both of its ends
    paths = re.findall(r'd="M ([^"]*)"[^>]*style="fill: (#1f77b4|currentColor)', histogram)
    assert [colour for _, colour in paths].count("#1f77b4") == 10  # bins from 0.5 on, empty ones too


def test_outlines_run_along_the_edges_of_pixels():
    gt = np.zeros((224, 224), np.float32)
    gt[10:20, 30:70] = 0.5
    gt[15:18, 40:50] = 1
    low, high = re.findall("M(.*?)Z", outlines(gt))
    assert sorted(low.split("L")) == ["30 10", "30 20", "70 10", "70 20"]
    assert sorted(high.split("L")) == ["40 15", "40 18", "50 15", "50 18"]
    assert outlines(np.zeros((224, 224))) == ""


def test_sounds_are_heard_as_they_were(monkeypatch):
    av = pytest.importorskip("av", reason="PyAV is not installed: sounds are stored as WAV")
    wave = (0.5 * np.sin(0.2 * np.arange(48000))).astype(np.float32)
    frame, gt = np.zeros((64, 64, 3), np.uint8), np.zeros((224, 224))

    def sound_of(kind):
        address = json.loads(illustrate(frame, gt, wave))["sound"]
        assert address.startswith(f"data:{kind};base64,")
        return base64.b64decode(address.split(",")[1])

    data = sound_of("audio/mpeg")
    with av.open(io.BytesIO(data)) as container:
        heard = np.concatenate([part.to_ndarray()[0] for part in container.decode(audio=0)])
    assert len(data) < 10_000 and abs(len(heard) - 48000) < 2000
    assert np.abs(np.fft.rfft(heard)).argmax() / len(heard) == pytest.approx(0.2 / 2 / np.pi, abs=1e-4)
    monkeypatch.setattr(illustration, "av", None)
    monkeypatch.setattr(illustration, "SOUND_TYPE", "audio/wav")
    rate, plain = wavfile.read(io.BytesIO(sound_of("audio/wav")))
    assert rate == 16000 and np.abs((plain / 128.0 - 1) - wave).max() < 0.02
    assert json.loads(illustrate(frame, gt, None))["sound"] is None


def test_an_item_without_its_sound_file_is_reported():
    class Mute(Scenes):
        def waveform(self, index):
            raise FileNotFoundError("scene.wav is missing: put the sound there")

    sentence = "scene.wav is missing: put the sound there"
    assert Illustrated(Mute())[3] == {"id": "scene_03", "index": 3, "error": sentence}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium, with its console kept; without the switches it would look for a network that is not there."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: tests/requirements.txt")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("there is no Chromium to open the report in: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    switches = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    for switch in [*switches.split(), "disable-component-update", "disable-sync", "window-size=1280,1000"]:
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


class Page:
    """The report in the browser: short names for what the tests do."""

    def __init__(self, browser, path):
        self.browser = browser
        browser.get(path.as_uri())
        self.wait_for_pictures()

    def run(self, script, *values):
        return self.browser.execute_script(script, *values)

    def wait(self, script, *values):
        for _ in range(200):
            found = self.run(script, *values)
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}")

    def wait_for_pictures(self):
        self.wait("return [...byId('tiles').querySelectorAll('img')].every((image) => image.naturalWidth)")

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def choose(self, selector, value):
        """Sets a control as a user does: its events are fired."""
        self.run(
            "const [control, value] = [document.querySelector(arguments[0]), arguments[1]]; control.value = value;"
            "for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind, {bubbles: true}))",
            selector,
            value,
        )

    def ids(self):
        return self.run("return [...document.querySelectorAll('#tiles [title]')].map((name) => name.textContent)")

    def shown(self):
        return self.run("return document.querySelector('.shown').textContent")

    def press(self, *keys):
        self.browser.switch_to.active_element.send_keys(*keys)


@pytest.fixture
def page(browser, report):
    page = Page(browser, report)
    yield page
    complaints = [line for line in browser.get_log("browser") if line["level"] != "INFO"]
    assert not complaints, complaints
    assert page.run("return performance.getEntriesByType('resource').every((entry) => entry.name.startsWith('data:'))")


def enclosed(path):
    """Pixels that an SVG path along their edges encloses, by its vertical edges: "M3 5v1" is one."""
    edges = [[] for _ in range(224)]
    for x, y in re.findall(r"M(\d+) (\d+)v1", path):
        edges[int(y)].append(int(x))
    return sum(right - left for row in map(sorted, edges) for left, right in zip(row[::2], row[1::2], strict=True))


def test_browser_draws_what_was_evaluated(page, evaluation, results):
    place = {item["id"]: i for i, item in enumerate(evaluation.items)}
    similarity = np.stack([item["similarity"] for item in evaluation.items])
    heat = heat_maps(torch.from_numpy(similarity), list(place))
    drawn = page.run("return Promise.all(order.slice(0, 24).map(async (i) => [data.id[i], [...(await load(i)).map]]))")
    assert len(drawn) == 24
    for item_id, pixels in drawn:
        assert np.abs(np.reshape(pixels, (224, 224)) - heat[place[item_id]]).max() < 1e-5
    for rule in ("fixed0.5", "median"):  # the yellow line encloses what the rule predicts
        page.choose("#rule", rule)
        page.wait_for_pictures()
        areas = choose(evaluation.scores["model"], rule)[1]
        lines = "return [...byId('tiles').querySelectorAll('.region.under')].map((path) => path.getAttribute('d'))"
        for item_id, path in zip(page.ids(), page.run(lines), strict=True):
            assert enclosed(path) == pytest.approx(areas[place[item_id]] * 224 * 224, abs=50)  # some tie
    assert enclosed(page.run("return regionPath(new Float32Array(224 * 224), 1)")) == 224 * 224
    assert page.run("return regionPath(new Float32Array(224 * 224), 0)") == ""
    colour = page.run(
        "const canvas = document.createElement('canvas'); canvas.width = canvas.height = 224;"
        "drawHeat(canvas, new Float32Array(224 * 224).fill(1));"
        "return [...canvas.getContext('2d').getImageData(9, 9, 1, 1).data]"
    )
    assert colour == [252, 254, 164, 255]  # the upper end of inferno
    assert page.run("return document.title") == "Sound source localisation on toys"
    assert f"cIoU {results['ciou']:.3f}" in page.find("#headline").text
    assert "1 of the items could not be read" in page.find("#partial").text


def test_browser_filters_searches_sorts_and_pages(page, evaluation):
    iou = {item["id"]: item["iou"] if item["sounding"] else 2 for item in evaluation.items}
    classes = {item["id"]: item["class"] for item in evaluation.items}
    assert page.shown() == "1 to 24 of 50"
    assert [iou[item_id] for item_id in page.ids()] == sorted(iou.values())[:24]
    page.find(".pager button[data-step='1']").click()
    assert page.shown() == "25 to 48 of 50"
    page.choose("#order", "best")
    assert [iou[item_id] for item_id in page.ids()] == sorted(
        (value for value in iou.values() if value <= 1), reverse=True
    )[:24]
    page.choose("#order", "class")
    assert [classes[item_id] for item_id in page.ids()] == sorted(classes.values())[:24]
    page.choose("#order", "small")
    assert set(page.ids()[:2]) == {"scene_07", "scene_09"}  # without a box
    assert "nothing sounds" in page.find("#tiles").text
    page.choose("#class", CLASSES[2])
    assert page.shown() == "1 to 16 of 16" and {classes[item_id] for item_id in page.ids()} == {CLASSES[2]}
    page.choose("#class", "")
    page.find("#search").send_keys("SCENE_3")
    assert page.ids() == [f"scene_{i}" for i in range(30, 40)]
    page.choose("#search", "nowhere")
    assert page.ids() == [] and "No item fits" in page.shown()
    page.choose("#search", EVIL[:8])
    assert page.ids() == [EVIL]
    page.run("arguments[0].click()", page.find("#classes button.link"))
    assert page.run("return document.getElementById('class').value") in CLASSES


def test_browser_plays_and_obeys_the_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    page.choose("#order", "id")
    page.wait_for_pictures()
    assert page.run("return [...document.querySelectorAll('.play')].map((button) => button.hidden)") == [
        True,  # the first is the item without sound
        *(i % 2 == 0 for i in range(1, 24)),
    ]
    page.run("document.querySelectorAll('.open')[0].focus()")
    page.press(Keys.ARROW_RIGHT)
    title = "return document.activeElement.getAttribute('aria-label')"
    assert page.run(title).startswith("Open scene_01")
    page.press(Keys.SPACE)
    page.wait("return player.currentTime > 0.1 && !player.paused")
    assert page.run("return document.querySelectorAll('.play')[1].getAttribute('aria-pressed')") == "true"
    page.press(Keys.SPACE)
    page.wait("return player.paused")
    page.press(Keys.ARROW_DOWN)
    columns = page.run("return getComputedStyle(byId('tiles')).gridTemplateColumns.split(' ').length")
    assert columns > 2 and page.run(title).startswith(f"Open scene_{1 + columns:02d}")
    page.press(Keys.ARROW_UP, Keys.ENTER)
    page.wait("return document.getElementById('item').open")
    assert page.find("#item-title").text == "scene_01"
    page.run("document.activeElement.blur()")
    page.find("#item").send_keys(Keys.ARROW_RIGHT)
    page.wait("return document.getElementById('item-title').textContent === 'scene_02'")
    assert page.find("#player + p").is_displayed() and not page.find("#player").is_displayed()
    page.find("#item").send_keys(Keys.ARROW_RIGHT)
    page.wait("return document.getElementById('item-title').textContent === 'scene_03'")
    page.find("#item").send_keys(Keys.SPACE)
    page.wait("return player.currentTime > 0.1 && !player.paused")
    page.find("#item").send_keys(Keys.ESCAPE)
    page.wait("return !document.getElementById('item').open && player.paused")
    assert page.run(title).startswith("Open scene_03")
    page.press(Keys.END, Keys.ARROW_RIGHT)  # over the edge of the page
    assert page.shown() == "25 to 48 of 50" and page.run(title).startswith("Open scene_24")


def test_browser_plays_a_sound_again_after_the_page_was_turned(page):
    page.choose("#order", "id")
    page.wait_for_pictures()
    page.find("#tiles li:nth-child(2) .play").click()
    page.wait("return player.currentTime > 0.1 && !player.paused")
    for step in (1, -1):
        page.find(f".pager button[data-step='{step}']").click()
        assert page.run("return player.paused")
        page.wait_for_pictures()
    page.find("#tiles li:nth-child(2) .play").click()
    page.wait("return player.currentTime > 0.1 && !player.paused")


def test_browser_on_a_phone_and_in_the_dark(page):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert page.run("return document.documentElement.scrollWidth") == 390
    assert page.run("return getComputedStyle(byId('tiles')).gridTemplateColumns.split(' ').length") == 2
    paper, ink = page.run("const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]")
    assert sum(map(int, re.findall(r"\d+", paper))) < 150 < 600 < sum(map(int, re.findall(r"\d+", ink)))
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
