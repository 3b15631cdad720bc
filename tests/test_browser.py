"""The page in a real browser, by mouse and by finger."""

import re
import time

import numpy as np
import pytest
from conftest import STRANGE, free_port, running_demo
from PIL import Image

from demo import NO_INK, NOT_A_PICTURE
from digits import ink
from digits.drawings import DRAWINGS

PADS_FUNCTION = re.compile("/component_server/")
LAPTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 3}


class Page:
    """What a visitor sees and does."""

    def __init__(self, page, url):
        self.page = page
        page.goto(url)
        page.wait_for_selector(".paper canvas")
        page.wait_for_function("document.querySelectorAll('.examples button').length === 10")
        page.locator(".paper canvas").hover(trial=True)  # waits until it stays in its place

    def points(self, drawing, left=0.1, top=0.1, size=0.8):
        """The strokes of a digit, or of another drawing, in page coordinates, in a part of the pad."""
        box = self.page.locator(".paper canvas").bounding_box()
        for stroke in DRAWINGS[drawing] if isinstance(drawing, int) else STRANGE[drawing]:
            yield [
                (box["x"] + box["width"] * (left + size * x / 100), box["y"] + box["height"] * (top + size * y / 100))
                for x, y in stroke
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

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def digit(self):
        return self.page.locator(".digit:visible").inner_text().strip()

    def percentages(self):
        texts = self.page.locator(".bars:visible .percent").all_text_contents()
        return [float(text.removesuffix("\u00a0%")) if text else None for text in texts]

    def sentence(self):
        return self.page.locator(".sentence:visible").inner_text()

    def spoken(self):
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

    def wait_for(self, question, wanted, seconds=10):
        """Asks until the answer is the one wanted (a value, or a test of it); gives the answer."""
        end = time.monotonic() + seconds
        fits = wanted if callable(wanted) else lambda answer: answer == wanted
        while not fits(answer := question()):
            assert time.monotonic() < end, (
                f"still {answer!r} after {seconds} s; page says: {self.sentence()!r}, pixels of ink: {self.inked()}"
            )
            time.sleep(0.02)
        return answer

    def reads(self, digit):
        self.wait_for(self.sentence, lambda said: said.startswith(f"It reads {digit},"))
        assert self.digit() == str(digit)
        percentages = self.percentages()
        assert int(np.argmax(percentages)) == digit and sum(percentages) == pytest.approx(100, abs=1)


@pytest.fixture
def open_page(chromium, demo):
    """Opens the demo; at the end, nothing may have gone wrong in the page or left for another host."""
    contexts, problems = [], []

    def watch(request):
        if not request.url.startswith((demo, "data:", "blob:")):
            problems.append(f"asked another host: {request.url}")

    def open(**options):
        context = chromium.new_context(**(options or LAPTOP))
        contexts.append(context)
        page = context.new_page()
        page.on("request", watch)
        page.on("pageerror", lambda error: problems.append(f"error in the page: {error}"))
        return Page(page, demo)

    yield open
    for context in contexts:
        context.close()
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


@pytest.mark.parametrize("place", [{"left": 0.75, "top": 0.7, "size": 0.2}, {"left": 0.02, "top": 0.02, "size": 0.15}])
def test_small_digits_in_a_corner_are_read(page, place):
    for digit in (2, 3, 4, 5, 7):
        page.draw(digit, **place)
        page.reads(digit)
        page.press("Clear")


def test_the_first_stroke_counts_and_bars_move_before_the_pen_is_lifted(page):
    assert page.percentages() == [None] * 10
    seen = []
    (stroke,) = page.points(3)
    page.page.mouse.move(*stroke[0])
    page.page.mouse.down()
    for point in stroke[1:]:
        page.page.mouse.move(*point)
        page.page.wait_for_timeout(30)
        seen.append(tuple(page.percentages()))
    assert len(set(seen)) >= 5 and None not in seen[-1]
    assert page.digit() in page.sentence()
    assert page.spoken() == "Draw a digit, or choose an example."
    page.page.mouse.up()
    page.reads(3)
    page.wait_for(page.spoken, page.sentence())


def test_an_empty_pad_claims_nothing(page):
    def empty():
        assert page.digit() == "" and page.percentages() == [None] * 10
        assert page.sentence() == "Draw a digit, or choose an example." and page.inked() == 0
        assert page.page.locator(".hint").is_visible()

    empty()
    page.draw(6)
    page.reads(6)
    assert not page.page.locator(".hint").is_visible()
    page.press("Clear")
    empty()


@pytest.mark.parametrize("name", ["heart", "cross", "W", "scribble", "two digits"])
def test_what_is_no_digit_is_said_to_be_unsure_and_is_given_no_name(page, name):
    page.draw(name)
    page.wait_for(page.sentence, lambda said: said.startswith("Not sure. The nearest is "))
    assert page.digit() == "?"
    percentages = page.percentages()
    assert max(percentages) < 50 and sum(percentages) == pytest.approx(100, abs=1)
    assert page.page.locator(".bars .top").count() == 0
    page.press("Clear")
    page.draw(4)
    page.reads(4)


def shown_maps(page):
    """For each canvas of maps that is shown, how many of its pixels have a colour."""
    return page.page.evaluate(
        """() => [...document.querySelectorAll('.maps:not([hidden]) canvas')].map((c) => {
        const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data
        return data.filter((value, i) => i % 4 === 3 && value > 0).length })"""
    )


def test_inside_shows_each_block_at_work_once_it_is_opened(page):
    asked = []
    page.page.on("request", lambda request: asked.append(request.post_data or ""))
    page.draw(3)
    page.reads(3)
    assert not any("look_inside" in data for data in asked) and shown_maps(page) == []
    page.page.locator("summary").click()
    before = page.wait_for(lambda: shown_maps(page), lambda maps: len(maps) == 12)
    assert all(count > 100 for count in before)
    assert page.page.locator(".block header .name").all_text_contents() == [
        "layer1.0",
        "layer1.1",
        "layer2.0",
        "layer2.1",
    ]
    page.press("Clear")
    page.wait_for(lambda: max(shown_maps(page)), 0)
    page.draw(8)
    page.wait_for(lambda: shown_maps(page), lambda maps: len(maps) == 12 and min(maps) > 100)
    page.press("layer2.1")
    page.wait_for(lambda: len(shown_maps(page)), 9)


def test_dropping_parts_moves_the_bars_and_leaves_a_line_where_they_were(page):
    page.draw(8)
    page.reads(8)
    whole = page.percentages()
    page.page.locator("summary").click()
    page.page.wait_for_selector(".blocks .block")
    for part in ("drop F(x)", "drop x"):
        page.page.get_by_role("button", name=part).nth(2).click()
    page.wait_for(page.percentages, lambda now: max(abs(a - b) for a, b in zip(now, whole, strict=True)) > 5)
    lines = page.page.locator(".bars:visible .ghost").evaluate_all(
        "all => all.map((line) => parseFloat(line.style.width))"
    )
    assert lines == pytest.approx(whole, abs=0.1)
    for part in ("drop F(x)", "drop x"):
        page.page.get_by_role("button", name=part).nth(2).click()
    page.wait_for(page.percentages, whole)
    page.wait_for(page.page.locator(".bars:visible .ghost:visible").count, 0)


def test_inside_follows_the_network_chosen(page):
    page.draw(4)
    page.page.locator("summary").click()
    page.page.wait_for_selector(".blocks .block")
    page.page.get_by_role("button", name="drop x").first.click()
    page.page.get_by_role("combobox", name="Network").click()
    page.page.get_by_role("option", name="tutorial").click()
    names = page.page.locator(".block header .name").all_text_contents
    page.wait_for(names, ["resblock1", "resblock2"])
    assert page.page.locator("[aria-pressed=true]").count() == 0
    page.reads(4)


def choose_network(page, name):
    page.page.get_by_role("combobox", name="Network").click()
    page.page.get_by_role("option", name=name).click()


def test_training_is_asked_for_once_its_tab_is_opened_and_follows_the_network_chosen(page):
    asked = []
    page.page.on("request", lambda request: asked.append(request.url) if "/queue/" in request.url else None)
    page.draw(5)
    page.reads(5)
    assert asked == [] and page.page.locator("svg text").count() == 0
    page.page.get_by_role("tab", name="Training").click()
    page.page.get_by_role("heading", name="How small was made").wait_for()
    assert page.page.locator(".curves svg:visible").count() == 2
    assert page.page.locator(".confusion td.right").count() == 10
    assert page.page.locator(".mistakes img").evaluate_all("all => all.every((image) => image.naturalWidth === 28)")
    choose_network(page, "tutorial")
    page.page.get_by_role("heading", name="How tutorial was made").wait_for()


def test_training_is_no_wider_than_a_phone(open_page):
    page = open_page(**PHONE).page
    page.get_by_role("tab", name="Training").click()
    page.locator(".mistakes img").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_network_may_change_without_training_being_asked_for(page):
    choose_network(page, "tutorial")
    page.wait_for(page.page.locator("#about").inner_text, lambda text: "42,790 parameters" in text)
    assert page.page.locator("h2").count() == 0


@pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_depth_shows_three_panels_of_curves_and_nothing_is_wider_than_the_screen(open_page, screen):
    page = open_page(**screen)
    page.page.get_by_role("tab", name="Depth").click()
    page.page.locator(".curves.three svg").nth(2).wait_for()
    texts = page.page.locator(".curves.three text").all_text_contents()
    assert {"plain", "residual", "56 layers, gradients", "56 layers, held out"} <= set(texts)
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    size = page.page.locator(".curves.three text").first.evaluate("text => text.getBoundingClientRect().height")
    assert size > 9, "too small to read"


def test_undo_redo_and_clear_by_button(page):
    names = ("Undo", "Redo", "Clear")
    enabled = lambda: [page.page.get_by_role("button", name=name, exact=True).is_enabled() for name in names]  # noqa: E731
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


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_every_example_is_replayed_and_read(open_page, motion):
    page = open_page(**LAPTOP, reduced_motion=motion)
    for digit in range(10):
        page.press(f"Example {digit}")
        page.reads(digit)
    page.press("Undo")
    page.reads(8)


def test_an_example_replays_stroke_by_stroke_and_the_pen_may_interrupt(page):
    page.press("Example 8")
    early = page.wait_for(page.inked, lambda ink: ink > 0)
    page.draw(1, left=0.8, size=0.1)
    assert page.inked() > early
    page.press("Undo")
    page.reads(8)


def test_a_late_answer_does_not_fill_a_cleared_pad(page):
    def slowly(route):
        time.sleep(0.5)
        route.continue_()

    page.page.route(PADS_FUNCTION, slowly)
    page.draw(5)
    page.press("Clear")
    page.page.wait_for_timeout(1500)
    assert page.digit() == "" and page.percentages() == [None] * 10


def test_an_answer_that_never_comes_is_asked_for_again(page):
    held = []
    page.page.route(PADS_FUNCTION, lambda route: route.continue_() if held else held.append(route))
    page.draw(4)
    page.wait_for(page.sentence, lambda said: "does not answer" in said)
    page.reads(4)


def test_at_most_one_question_is_under_way_and_the_newest_drawing_is_asked_last(page):
    under_way, most, last = 0, 0, None

    def count(change):
        nonlocal under_way, most
        under_way += change
        most = max(most, under_way)

    def asked(request):
        nonlocal last
        if PADS_FUNCTION.search(request.url):
            last = request.post_data_json["data"]["strokes"]
            count(1)

    page.page.on("request", asked)
    page.page.on("requestfinished", lambda request: PADS_FUNCTION.search(request.url) and count(-1))
    page.draw(2)
    page.reads(2)
    assert most == 1
    (drawn,) = page.points(2)
    assert len(last) == 1 and len(last[0]) > len(drawn) * 0.8


def test_what_the_network_sees_is_the_image_that_was_read(page):
    page.draw(7)
    page.reads(7)
    seen = page.page.evaluate(
        "Array.from(document.querySelector('.seen').getContext('2d').getImageData(0, 0, 28, 28).data)"
    )
    expected = ink.from_strokes(list(page.points(7)))
    assert np.abs(np.array(seen)[::4] / 255 - expected.ravel()).mean() < 0.02


def test_the_menu_changes_the_network(page):
    page.draw(9)
    page.reads(9)
    about = page.page.locator("#about")
    assert "169,834 parameters" in about.inner_text()
    page.page.get_by_role("combobox", name="Network").click()
    names = [name.removeprefix("\u2713").strip() for name in page.page.get_by_role("option").all_inner_texts()]
    assert names[0] == "small" and "tutorial" in names
    with page.page.expect_request(PADS_FUNCTION) as asked:
        page.page.get_by_role("option", name="tutorial").click()
    assert asked.value.post_data_json["data"]["network"] == "tutorial"
    page.wait_for(about.inner_text, lambda text: "42,790 parameters" in text)
    page.reads(9)


def test_an_uploaded_picture_is_read_and_the_drawing_stays(page, tmp_path):
    page.draw(1)
    page.reads(1)
    picture = 255 - np.kron(ink.from_strokes(DRAWINGS[3]) * 255, np.ones((9, 9))).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "three.png")
    Image.new("L", (90, 90), 200).save(tmp_path / "blank.png")
    (tmp_path / "none.png").write_text("no picture")
    said = {"blank.png": NO_INK, "none.png": NOT_A_PICTURE}
    page.page.get_by_role("tab", name="Upload").click()
    assert page.sentence() == "Upload a picture of one digit."
    page.page.locator("input[type=file]").first.set_input_files(tmp_path / "three.png")
    page.reads(3)
    for name, sentence in said.items():
        page.page.get_by_role("button", name="Remove Image").or_(page.page.get_by_label("Clear")).first.click()
        page.wait_for(page.sentence, "Upload a picture of one digit.")
        page.page.locator("input[type=file]").first.set_input_files(tmp_path / name)
        page.wait_for(page.sentence, sentence)
    page.page.get_by_role("tab", name="Draw").click()
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


def test_a_server_that_is_gone_is_said_and_the_drawing_is_read_when_it_is_back(chromium, tmp_path):
    port = free_port()
    with chromium.new_context(**LAPTOP) as context:
        with running_demo(tmp_path / "first", port) as url:
            page = Page(context.new_page(), url)
            page.draw(6)
            page.reads(6)
        page.draw(6, left=0.1)
        page.wait_for(page.sentence, lambda said: "does not answer" in said)
        assert page.digit() == "" and page.inked() > 0
        with running_demo(tmp_path / "second", port):
            page.reads(6)
