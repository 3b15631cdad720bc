"""The page for everybody: by axe-core's rules (WCAG 2.2 AA), by keyboard alone, and at 200 % zoom."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_browser import LAPTOP, PHONE, Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCREENS = {"laptop": LAPTOP, "phone": PHONE}
TABS = {  # what each holds once it has been filled
    "Draw": ".paper canvas",
    "Upload": "input[type=file]",
    "Training": ".mistakes img",
    "Depth": ".curves.three svg",
}


def faults(page):
    """What axe-core finds in light and dark mode: the mode, the rule, and the elements that break it."""
    found = {}
    for scheme in ("light", "dark"):
        page.page.emulate_media(color_scheme=scheme)
        page.page.wait_for_function(f"document.body.classList.contains('dark') === {str(scheme == 'dark').lower()}")
        options = {"runOnly": RULES, "resultTypes": ["violations"]}
        for fault in Axe().run(page.page, options=options).response["violations"]:
            found[scheme, fault["id"]] = [node["html"][:200] for node in fault["nodes"]]
    return found


@pytest.mark.parametrize("screen", SCREENS)
def test_no_tab_breaks_a_rule_in_light_or_dark_mode(chromium, demo, screen):
    with chromium.new_context(**SCREENS[screen], reduced_motion="reduce") as context:
        page = Page(context.new_page(), demo)
        page.page.add_style_tag(content="* { transition: none !important }")  # else colours change while axe looks
        assert faults(page) == {}
        page.press("Example 3")
        page.reads(3)
        page.open_inside()
        page.press("Switch off x")
        for tab, content in TABS.items():
            page.open_tab(tab)
            page.page.locator(content).first.wait_for(state="attached")
            assert faults(page) == {}, tab


def focused(page):
    return page.page.evaluate(
        "[document.activeElement.tagName, document.activeElement.getAttribute('aria-label') ?? "
        "document.activeElement.textContent.trim()].join(' ')"
    )


def test_everything_is_reached_by_keyboard_and_the_focus_is_visible(chromium, demo):
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
        buttons = ("Draw", "Undo", "Clear", "Example 9", "layer1.0", "Switch off F(x)")
        assert {"INPUT Network"} | {f"BUTTON {name}" for name in buttons} <= set(reached), reached


def test_at_200_per_cent_nothing_is_cut_off_and_a_digit_is_read(chromium, demo):
    with chromium.new_context(viewport={"width": 640, "height": 400}, device_scale_factor=2) as context:
        page = Page(context.new_page(), demo)
        page.press("Example 5")
        page.reads(5)
        for tab, content in TABS.items():
            page.open_tab(tab)
            page.page.locator(content).first.wait_for(state="attached")
            assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
