"""The page in a real browser, used with a mouse and with a finger."""

import re
import time

import numpy as np
import pytest
from conftest import STRANGE, free_port, running_demo
from PIL import Image

from digits import ink
from digits.drawings import DRAWINGS
from serving.pictures import NOT_A_PICTURE
from serving.questions import NO_INK

SERVER_FUNCTION = re.compile("/component_server/")  # where the pad and Inside send their requests
LAPTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 3}
PATIENCE, RETRY_AFTER = 5000, 1000  # ms, as in common.js
MINUTE = 60_000  # ms: a wait ends with an answer, but on a machine ten times slower it takes its time


class Page:
    """What a visitor sees and does."""

    def __init__(self, page, url):
        self.page = page
        page.set_default_timeout(MINUTE)
        page.goto(url)
        page.wait_for_function("document.querySelectorAll('.examples button').length === 10")
        page.locator(".paper canvas").hover(trial=True)  # waits until it has stopped moving

    def points(self, drawing, left=0.1, top=0.1, size=0.8, every=4):
        """The strokes of a drawing, in page coordinates, in a part of the pad; of a digit's points every fourth."""
        box = self.page.locator(".paper canvas").bounding_box()
        digit = isinstance(drawing, int)
        for stroke in DRAWINGS[drawing] if digit else STRANGE[drawing]:
            yield [
                (box["x"] + box["width"] * (left + size * x / 100), box["y"] + box["height"] * (top + size * y / 100))
                for x, y in ([*stroke[:-1:every], stroke[-1]] if digit else stroke)  # each move takes a frame
            ]

    def draw(self, drawing, **place):
        for stroke in self.points(drawing, **place):
            self.page.mouse.move(*stroke[0])
            self.page.mouse.down()
            for point in stroke[1:]:
                self.page.mouse.move(*point)
            self.page.mouse.up()

    def draw_by_finger(self, digit, **place):
        cdp = self.page.context.new_cdp_session(self.page)

        def touch(kind, *points):
            points = [{"x": x, "y": y} for x, y in points]
            cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        for stroke in self.points(digit, **place):
            touch("touchStart", stroke[0])
            for point in stroke[1:]:
                touch("touchMove", point)
            touch("touchEnd")

    def press(self, name, nth=0):
        self.page.get_by_role("button", name=name, exact=True).nth(nth).click()

    def open_tab(self, name):
        self.page.get_by_role("tab", name=name).click()

    def open_inside(self):
        self.page.locator("summary").click()
        self.page.wait_for_selector(".blocks .block")

    def choose_network(self, name):
        self.page.get_by_role("combobox", name="Network").click()
        self.page.get_by_role("option", name=name).click()

    def upload(self, path):
        self.page.locator("input[type=file]").first.set_input_files(path)

    def digit(self):
        return self.page.locator(".digit:visible").inner_text().strip()

    def percentages(self):
        texts = self.page.locator(".bars:visible .percent").all_text_contents()
        return [float(text.removesuffix("\u00a0%")) if text else None for text in texts]

    def sentence(self):
        return self.page.locator(".sentence:visible").inner_text()

    def announced(self):
        """What a screen reader was told last."""
        return self.page.locator("[aria-live=polite]").first.inner_text()

    def inked(self):
        """How many of the canvas's pixels hold ink."""
        return self.page.evaluate(
            """() => { const c = document.querySelector('.paper canvas')
            if (!c.width) return 0 // it has just come back into sight
            const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data
            let n = 0; for (let i = 3; i < data.length; i += 4) n += data[i] > 0; return n }"""
        )

    def wait_for(self, question, wanted, seconds=MINUTE / 1000):
        """Asks until the answer is the one wanted (a value, or a test of it); returns it."""
        end = time.monotonic() + seconds
        fits = wanted if callable(wanted) else lambda answer: answer == wanted
        while not fits(answer := question()):
            assert time.monotonic() < end, f"still {answer!r} after {seconds} s; the page says {self.sentence()!r}"
            time.sleep(0.02)
        return answer

    def reads(self, digit):
        self.wait_for(self.sentence, lambda sentence: sentence.startswith(f"Prediction: {digit} ("))
        assert self.digit() == str(digit)
        percentages = self.percentages()
        assert int(np.argmax(percentages)) == digit and sum(percentages) == pytest.approx(100, abs=1)

    def says_that_the_server_is_gone(self):
        self.wait_for(self.sentence, lambda sentence: sentence.startswith("The server does not answer."))
        assert self.digit() == "" and self.percentages() == [None] * 10


@pytest.fixture(scope="module")
def context_for(chromium):
    """A browser context for given options. Tests share it, and so its cache: a page opens in half the time."""
    contexts = {}

    def get(**options):
        key = repr(sorted(options.items()))
        if key not in contexts:
            contexts[key] = chromium.new_context(**options)
        return contexts[key]

    yield get
    for context in contexts.values():
        context.close()


@pytest.fixture
def open_page(context_for, demo):
    """Opens the demo; at the end, no script may have failed, and no other host may have been asked."""
    pages, problems = [], []

    def watch(request):
        if not request.url.startswith((demo, "data:", "blob:")):
            problems.append(f"asked another host: {request.url}")

    def open(**options):
        page = context_for(**(options or LAPTOP)).new_page()
        pages.append(page)
        page.on("request", watch)
        page.on("pageerror", lambda error: problems.append(f"error in the page: {error}"))
        return Page(page, demo)

    yield open
    for page in pages:
        page.close()
    assert not problems


@pytest.fixture
def page(open_page):
    return open_page()


def test_each_digit_drawn_with_the_mouse_is_read(page):
    for digit in range(10):
        page.draw(digit)
        page.reads(digit)
        page.press("Clear")


def test_each_digit_drawn_by_finger_on_a_phone_is_read_and_nothing_scrolls(open_page):
    page = open_page(**PHONE)
    for digit in range(10):
        page.draw_by_finger(digit)
        page.reads(digit)
        page.press("Clear")
    assert page.page.evaluate("[scrollX, scrollY, document.documentElement.scrollWidth]") == [0, 0, 390]


def test_small_digits_in_a_corner_are_read(page):
    for place in ({"left": 0.75, "top": 0.7, "size": 0.2}, {"left": 0.02, "top": 0.02, "size": 0.15}):
        for digit in (2, 3, 4, 5, 7):
            page.draw(digit, **place)
            page.reads(digit)
            page.press("Clear")


def test_the_first_stroke_counts_and_bars_move_before_the_pen_is_lifted(page):
    shown = page.percentages()
    assert shown == [None] * 10
    (stroke,) = page.points(3)
    page.page.mouse.move(*stroke[0])
    page.page.mouse.down()
    for start in range(1, 13, 4):  # in the first half of the digit, each few points change the bars
        for point in stroke[start : start + 4]:
            page.page.mouse.move(*point)
        shown = page.wait_for(page.percentages, lambda now, before=shown: now != before)
    assert None not in shown and page.digit() in page.sentence()
    assert page.announced() == "Draw a digit, or choose an example."
    for point in stroke[13:]:
        page.page.mouse.move(*point)
    page.page.mouse.up()
    page.reads(3)
    page.wait_for(page.announced, page.sentence())


def test_a_tap_is_drawn_as_a_dot_and_read(page):
    box = page.page.locator(".paper canvas").bounding_box()
    page.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    diameter = 0.055 * box["width"]
    assert page.inked() == pytest.approx(np.pi / 4 * diameter**2, rel=0.2)
    page.wait_for(page.percentages, lambda shown: None not in shown)


def test_an_empty_pad_shows_no_prediction(page):
    def assert_empty():
        assert page.digit() == "" and page.percentages() == [None] * 10
        assert page.sentence() == "Draw a digit, or choose an example." and page.inked() == 0
        assert page.page.locator(".hint").is_visible()

    assert_empty()
    page.draw(6)
    page.reads(6)
    assert not page.page.locator(".hint").is_visible()
    page.press("Clear")
    assert_empty()


@pytest.mark.parametrize("name", ["heart", "cross", "W", "scribble", "two digits"])
def test_an_outlier_is_not_named(page, name):
    page.draw(name)
    page.wait_for(page.sentence, lambda sentence: sentence.startswith("Not sure. Best guess: "))
    assert page.digit() == "?"
    percentages = page.percentages()
    assert max(percentages) < 50 and sum(percentages) == pytest.approx(100, abs=1)
    assert page.page.locator(".bars .top").count() == 0
    page.press("Clear")
    page.draw(4)
    page.reads(4)


def coloured_pixels(page):
    """How many pixels of each visible canvas of feature maps have a colour."""
    return page.page.evaluate(
        """() => [...document.querySelectorAll('.maps:not([hidden]) canvas')].map((c) => {
        const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data
        return data.filter((value, i) => i % 4 === 3 && value > 0).length })"""
    )


def test_inside_shows_each_block_at_work_once_it_is_opened(page):
    bodies = []
    page.page.on("request", lambda request: bodies.append(request.post_data or ""))
    page.draw(3)
    page.reads(3)
    assert not any("look_inside" in body for body in bodies) and coloured_pixels(page) == []
    page.open_inside()
    maps = page.wait_for(lambda: coloured_pixels(page), lambda maps: len(maps) == 12)
    assert min(maps) > 100
    names = page.page.locator(".block header .name").all_text_contents()
    assert names == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    page.press("Clear")
    page.wait_for(lambda: max(coloured_pixels(page)), 0)
    page.draw(8)
    page.wait_for(lambda: coloured_pixels(page), lambda maps: len(maps) == 12 and min(maps) > 100)
    page.press("layer2.1")
    page.wait_for(lambda: len(coloured_pixels(page)), 9)


def test_ablations_move_the_bars_and_lines_mark_the_intact_network(page):
    page.draw(8)
    page.reads(8)
    intact = page.percentages()
    page.open_inside()
    for part in ("Switch off F(x)", "Switch off x"):
        page.press(part, nth=2)
    page.wait_for(page.percentages, lambda now: max(abs(a - b) for a, b in zip(now, intact, strict=True)) > 5)
    for bars, side in ((".bars:visible", "width"), (".strip", "height")):
        shares = page.page.locator(f"{bars} .track").evaluate_all(
            f"""all => all.map((track) => 100 * track.querySelector('.intact').getBoundingClientRect().{side}
            / track.getBoundingClientRect().{side})"""
        )
        assert shares == pytest.approx(intact, abs=5), "a line is 2 pixels wide"
    for part in ("Switch off F(x)", "Switch off x"):
        page.press(part, nth=2)
    page.wait_for(page.percentages, intact)
    page.wait_for(page.page.locator(".intact:visible").count, 0)


def test_inside_follows_the_network_chosen(page):
    page.draw(4)
    page.open_inside()
    page.press("Switch off x")
    page.choose_network("tutorial")
    names = page.page.locator(".block header .name").all_text_contents
    page.wait_for(names, ["resblock1", "resblock2"])
    assert page.page.locator("[aria-pressed=true]").count() == 0
    page.reads(4)


def test_training_is_requested_once_its_tab_is_opened_and_follows_the_network_chosen(page):
    events = []
    page.page.on("request", lambda request: events.append(request.url) if "/queue/" in request.url else None)
    page.draw(5)
    page.reads(5)
    assert events == [] and page.page.locator("svg text").count() == 0
    page.open_tab("Training")
    page.page.get_by_role("heading", name="How small was trained").wait_for()
    assert page.page.locator(".curves svg:visible").count() == 2
    assert page.page.locator(".confusion td.right").count() == 10
    assert page.page.locator(".mistakes img").evaluate_all("all => all.every((image) => image.naturalWidth === 28)")
    page.choose_network("tutorial")
    page.page.get_by_role("heading", name="How tutorial was trained").wait_for()


def test_training_is_no_wider_than_a_phone(open_page):
    page = open_page(**PHONE)
    page.open_tab("Training")
    page.page.locator(".mistakes img").first.wait_for()
    assert page.page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_network_may_change_without_training_being_requested(page):
    page.choose_network("tutorial")
    page.wait_for(page.page.locator("#about").inner_text, lambda text: "42,790 parameters" in text)
    assert page.page.locator("h2").count() == 0


@pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_depth_shows_three_panels_of_curves_and_nothing_is_wider_than_the_screen(open_page, screen):
    page = open_page(**screen)
    page.open_tab("Depth")
    page.page.locator(".curves.three svg").nth(2).wait_for()
    texts = page.page.locator(".curves.three text").all_text_contents()
    assert {"plain networks", "residual networks", "gradients, 56 layers", "56 layers, held out"} <= set(texts)
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    size = page.page.locator(".curves.three text").first.evaluate("text => text.getBoundingClientRect().height")
    assert size > 9, "too small to read"


def test_undo_redo_and_clear_by_button(page):
    def enabled():
        names = ("Undo", "Redo", "Clear")
        return [page.page.get_by_role("button", name=name, exact=True).is_enabled() for name in names]

    assert enabled() == [False, False, False]
    page.draw(4)
    page.reads(4)
    whole = page.inked()
    page.press("Undo")
    assert 0 < page.inked() < whole and enabled() == [True, True, True]
    page.press("Redo")
    page.reads(4)
    assert page.inked() == whole and enabled() == [True, False, True]
    page.press("Clear")
    assert page.inked() == 0 and enabled() == [True, False, False]
    page.press("Undo")
    page.reads(4)
    assert page.inked() == whole


def test_undo_redo_and_clear_by_key(page):
    page.draw(4)
    page.reads(4)
    whole = page.inked()
    page.page.keyboard.press("Control+z")
    assert 0 < page.inked() < whole
    page.page.keyboard.press("Control+y")
    assert page.inked() == whole
    page.page.keyboard.press("Control+z")
    page.page.keyboard.press("Control+Shift+z")
    assert page.inked() == whole
    page.page.keyboard.press("Delete")
    assert page.inked() == 0


@pytest.mark.parametrize(("motion", "digits"), [("no-preference", (0, 4, 8)), ("reduce", range(10))])
def test_every_example_is_replayed_and_read(open_page, motion, digits):
    page = open_page(**LAPTOP, reduced_motion=motion)
    for digit in digits:
        page.press(f"Example {digit}")
        page.reads(digit)
    page.press("Undo")
    page.reads(digits[-2])


def test_an_example_is_replayed_bit_by_bit_and_a_stroke_may_interrupt_it(page):
    page.press("Example 8")
    early = page.wait_for(page.inked, lambda ink: ink > 0)
    page.draw(1, left=0.8, size=0.1)
    assert page.inked() > early
    page.press("Undo")
    page.reads(8)


def test_a_late_answer_does_not_fill_a_cleared_pad(page):
    held = []
    page.page.route(SERVER_FUNCTION, lambda route: held.append(route))
    page.draw(5)
    page.press("Clear")
    with page.page.expect_event("requestfinished", lambda request: request == held[-1].request):
        held[-1].continue_()
    page.page.evaluate("new Promise((resolve) => setTimeout(resolve))")
    assert page.digit() == "" and page.percentages() == [None] * 10


def test_an_answer_that_never_comes_is_requested_again(page):
    page.page.route(SERVER_FUNCTION, lambda route: None)
    page.page.clock.install()
    page.draw(4)
    page.page.clock.fast_forward(PATIENCE)
    page.says_that_the_server_is_gone()
    page.page.unroute(SERVER_FUNCTION)
    page.page.clock.fast_forward(PATIENCE + RETRY_AFTER)
    page.reads(4)


def test_a_refusal_is_shown_and_not_retried(page):
    sent, refusal = [], "Too many requests from this address. Try again in a moment."

    def refuse(route):
        sent.append(route.request)
        route.fulfill(json={"error": refusal})

    page.page.route(SERVER_FUNCTION, refuse)
    page.page.clock.install()
    page.draw(1)
    page.wait_for(page.announced, refusal)
    assert page.sentence() == refusal and page.digit() == "" and page.percentages() == [None] * 10
    before = len(sent)
    page.page.clock.fast_forward(PATIENCE + RETRY_AFTER)
    assert page.inked() > 0 and len(sent) == before
    page.page.unroute(SERVER_FUNCTION)
    page.press("Undo")
    page.press("Redo")
    page.reads(1)


COUNT_REQUESTS = """
window.inFlight = window.mostInFlight = 0
const ask = fetch
window.fetch = async (address, options) => {
  if (!String(address).includes('/component_server/')) return ask(address, options)
  window.lastStrokes = JSON.parse(options.body).data.strokes
  window.mostInFlight = Math.max(mostInFlight, ++inFlight)
  try { return await ask(address, options) } finally { inFlight-- }
}"""


def test_at_most_one_request_is_in_flight_and_the_newest_drawing_is_sent_last(page):
    page.page.evaluate(COUNT_REQUESTS)
    page.draw(2)
    page.reads(2)
    page.wait_for(lambda: page.page.evaluate("inFlight"), 0)
    most, last = page.page.evaluate("[mostInFlight, lastStrokes]")
    (drawn,) = page.points(2)
    assert most == 1 and len(last) == 1 and len(last[0]) == len(drawn)


def test_what_the_network_sees_is_the_image_that_was_read(page):
    page.draw(7)
    page.reads(7)
    pixels = page.page.evaluate(
        "Array.from(document.querySelector('.pixels').getContext('2d').getImageData(0, 0, 28, 28).data)"
    )
    expected = ink.from_strokes(list(page.points(7)))
    assert np.abs(np.array(pixels)[::4] / 255 - expected.ravel()).mean() < 0.02


def test_the_menu_changes_the_network(page):
    page.draw(9)
    page.reads(9)
    about = page.page.locator("#about")
    assert "169,834 parameters" in about.inner_text()
    page.page.get_by_role("combobox", name="Network").click()
    names = [name.removeprefix("\u2713").strip() for name in page.page.get_by_role("option").all_inner_texts()]
    assert names[0] == "small" and "tutorial" in names
    with page.page.expect_request(SERVER_FUNCTION) as request:
        page.page.get_by_role("option", name="tutorial").click()
    assert request.value.post_data_json["data"]["network"] == "tutorial"
    page.wait_for(about.inner_text, lambda text: "42,790 parameters" in text)
    page.reads(9)


def test_an_uploaded_picture_is_read_and_the_drawing_stays(page, tmp_path):
    page.draw(1)
    page.reads(1)
    picture = 255 - np.kron(ink.from_strokes(DRAWINGS[3]) * 255, np.ones((9, 9))).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "three.png")
    Image.new("L", (90, 90), 200).save(tmp_path / "blank.png")
    (tmp_path / "none.png").write_text("no picture")
    page.open_tab("Upload")
    assert page.sentence() == "Upload a picture of one digit."
    page.upload(tmp_path / "three.png")
    page.reads(3)
    for name, sentence in {"blank.png": NO_INK, "none.png": NOT_A_PICTURE}.items():
        page.page.get_by_role("button", name="Remove Image").or_(page.page.get_by_label("Clear")).first.click()
        page.wait_for(page.sentence, "Upload a picture of one digit.")
        page.upload(tmp_path / name)
        page.wait_for(page.sentence, sentence)
    page.open_tab("Draw")
    page.reads(1)
    page.wait_for(page.inked, lambda ink: ink > 0)


def test_ink_is_sharp_on_a_dense_screen_and_follows_dark_mode(open_page):
    colours = set()
    for scheme in ("light", "dark"):
        page = open_page(**PHONE | {"color_scheme": scheme})
        page.draw_by_finger(1)
        width, shown, colour = page.page.evaluate(
            """() => { const c = document.querySelector('.paper canvas')
            return [c.width, c.clientWidth, getComputedStyle(c).color] }"""
        )
        assert width == shown * 3
        colours.add(colour)
    assert len(colours) == 2


@pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_every_button_is_at_least_44_pixels_and_bars_are_in_sight(open_page, screen):
    page = open_page(**screen)
    for button in page.page.locator(".tools button, .examples button").all():
        box = button.bounding_box()
        assert box["width"] >= 44 and box["height"] >= 44
    last = page.page.locator(".bars li").nth(9).bounding_box()
    assert last["y"] + last["height"] <= screen["viewport"]["height"]


def test_the_page_says_that_its_server_is_gone_and_reads_the_drawing_when_another_is_there(chromium, demo, tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with chromium.new_context(**LAPTOP) as context:
        page = context.new_page()
        page.route(f"{url}**", lambda route: route.continue_(url=route.request.url.replace(url, demo)))
        page = Page(page, url)
        page.draw(6)
        page.reads(6)
        page.page.unroute_all()
        page.draw(6, left=0.1)
        page.says_that_the_server_is_gone()
        assert page.inked() > 0
        with running_demo(tmp_path / "log", port):
            page.reads(6)
