"""The page for everybody: by axe-core's rules (WCAG 2.2 AA), by keyboard alone, and at twice its size."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_browser import LAPTOP, PHONE, Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCREENS = {"laptop": LAPTOP, "phone": PHONE, "zoomed": {"viewport": {"width": 640, "height": 400}}}


def faults(page):
    """What axe-core finds: the rule, and the elements that break it."""
    found = Axe().run(page.page, options={"runOnly": RULES}).response["violations"]
    return {fault["id"]: [node["html"][:200] for node in fault["nodes"]] for fault in found}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", ["laptop", "phone"])
def test_no_tab_breaks_a_rule(chromium, demo, screen, scheme):
    with chromium.new_context(**SCREENS[screen], color_scheme=scheme, reduced_motion="reduce") as context:
        page = Page(context.new_page(), demo)
        assert faults(page) == {}
        page.press("Example 3")
        page.reads(3)
        page.page.locator("summary").click()
        page.page.wait_for_selector(".blocks .block")
        page.page.get_by_role("button", name="drop x").first.click()
        assert faults(page) == {}
        for tab, shown in (
            ("Upload", "input[type=file]"),
            ("Training", ".mistakes img"),
            ("Depth", ".curves.three svg"),
        ):
            page.page.get_by_role("tab", name=tab).click()
            page.page.locator(shown).first.wait_for(state="attached")
            assert faults(page) == {}, tab


def focused(page):
    return page.page.evaluate(
        "[document.activeElement.tagName, document.activeElement.getAttribute('aria-label') ?? "
        "document.activeElement.textContent.trim()].join(' ')"
    )


def test_everything_is_reached_by_keyboard_and_the_focus_is_seen(chromium, demo):
    with chromium.new_context(**LAPTOP) as context:
        page = Page(context.new_page(), demo)
        reached = []
        for _ in range(60):
            page.page.keyboard.press("Tab")
            reached.append(focused(page))
            first = reached.count(reached[-1]) == 1
            if first and reached[-1] == "BUTTON Example 3":
                assert page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                page.page.keyboard.press("Enter")
                page.reads(3)
            if first and reached[-1] == "SUMMARY Inside: what each residual block adds":
                page.page.keyboard.press("Enter")
                page.page.wait_for_selector(".blocks .block")
        said = "\n".join(reached)
        for name in ("INPUT", "BUTTON Draw", "BUTTON Undo", "BUTTON Clear", "BUTTON Example 9", "BUTTON layer1.0"):
            assert name in said, said
        assert "BUTTON drop F(x)" in said


def test_at_200_per_cent_nothing_is_cut_off_and_a_digit_is_read(chromium, demo):
    with chromium.new_context(**SCREENS["zoomed"], device_scale_factor=2) as context:
        page = Page(context.new_page(), demo)
        page.press("Example 5")
        page.reads(5)
        for tab in ("Draw", "Upload", "Training", "Depth"):
            page.page.get_by_role("tab", name=tab).click()
            page.page.wait_for_timeout(500)
            assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
