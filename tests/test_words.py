"""The page speaks the browser's language: whatever it says is in the table."""

import re

import pytest
from test_browser import LAPTOP, PHONE, Page

from demo import NO_INK, NOT_A_PICTURE
from digits.picture import SEVERAL
from serving.gate import CROWDED
from sketchpad import WORDS

CHINESE = WORDS["zh"]
NAMES = r"F\(x\)|x|small|tutorial|layer\d\.\d|MNIST|PNG|JPEG|WebP|He|arXiv|BatchNorm|bfloat16|python|torch|cu\d+"


def test_each_language_has_the_same_holes_as_english():
    for words in WORDS.values():
        assert words.keys() == CHINESE.keys()
        for english, other in words.items():
            holes = re.findall(r"\{\d?\}", other)
            assert len(holes) <= english.count("{}"), english
            assert english.count("{}") == len(holes) or english.startswith("no device"), english


@pytest.mark.parametrize("sentence", [NO_INK, NOT_A_PICTURE, SEVERAL, CROWDED])
def test_what_is_said_of_pictures_is_in_the_table(sentence):
    assert sentence in CHINESE


@pytest.fixture
def chinese(chromium, demo):
    with chromium.new_context(**LAPTOP, locale="zh-CN") as context:
        yield Page(context.new_page(), demo)


def untranslated(page):
    """Words of Latin letters that can be seen, or heard, but for names."""
    texts = page.page.evaluate(
        """() => {
        const walker = document.createTreeWalker(document.querySelector('.gradio-container'), NodeFilter.SHOW_TEXT)
        const texts = []
        while (walker.nextNode()) {
          const parent = walker.currentNode.parentElement
          const code = ['STYLE', 'SCRIPT'].includes(parent.tagName)
          if (!code && parent.checkVisibility()) texts.push(walker.currentNode.data)
        }
        for (const each of document.querySelectorAll('.gradio-container [aria-label]'))
          if (each.checkVisibility()) texts.push(each.getAttribute('aria-label'))
        return texts }"""
    )
    return [text for text in texts if re.search(r"[A-Za-z]{2,}", re.sub(NAMES, "", text))]


def test_in_a_chinese_browser_all_is_chinese(chinese, tmp_path):
    page = chinese
    assert page.page.evaluate("document.documentElement.lang") == "zh-CN"
    assert page.sentence() == CHINESE["Draw a digit, or choose an example."]
    assert untranslated(page) == []
    page.draw(3)
    page.wait_for(page.sentence, lambda said: re.match(r"读作 3\W+把握 \d+\.\d\s%", said))
    page.page.locator("summary").click()
    page.page.wait_for_selector(".blocks .block")
    assert untranslated(page) == []
    page.press("清空")
    page.draw("cross")
    page.wait_for(page.sentence, lambda said: said.startswith("不确定。最接近的是"))
    page.page.get_by_role("tab", name="上传").click()
    (tmp_path / "none.png").write_text("no picture")
    page.page.locator("input[type=file]").first.set_input_files(tmp_path / "none.png")
    page.wait_for(page.sentence, lambda said: said.startswith("这个文件不是"))
    (tmp_path / "big.png").write_bytes(bytes(11 * 2**20))
    page.page.locator("input[type=file]").first.set_input_files(tmp_path / "big.png")
    page.page.get_by_text(re.compile("^文件超过了 10")).wait_for()
    page.page.get_by_role("button", name="关闭", exact=True).click()
    page.page.locator(".toast-item").wait_for(state="detached")
    page.page.get_by_role("tab", name="训练").click()
    page.page.get_by_role("heading", name="small 是怎样训练的").wait_for()
    assert untranslated(page) == []
    page.page.get_by_role("tab", name="深度").click()
    page.page.get_by_text("没有捷径时").wait_for()
    assert untranslated(page) == []


def test_in_another_browser_all_is_english(chromium, demo):
    with chromium.new_context(**PHONE, locale="fr-FR") as context:
        page = Page(context.new_page(), demo)
        page.draw(4)
        page.reads(4)
        assert page.page.get_by_role("tab", name="Training").is_visible()
