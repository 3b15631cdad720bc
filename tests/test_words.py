"""The page speaks the browser's language: every sentence on it is in the table."""

import re

import pytest
from test_browser import LAPTOP, PHONE, SERVER_FUNCTION, Page

from digits.picture import SEVERAL
from serving.gate import CROWDED, MALFORMED, TOO_SLOW
from serving.pictures import GONE, NOT_A_PICTURE
from serving.questions import FAILED, NO_INK
from sketchpad import WORDS

CHINESE = WORDS["zh"]
NAMES = (
    r"F\(x\)|x|small|tutorial|layer\d\.\d|MNIST|PNG|JPEG|WebP|He|arXiv|ReLU|BatchNorm|softmax|epoch"
    r"|bfloat16|[Pp]ython|(Py)?[Tt]orch(\.compile)?|cu\d+"
)


def test_a_translation_has_the_holes_of_its_english_sentence():
    for words in WORDS.values():
        assert words.keys() == CHINESE.keys()
        for english, translation in words.items():
            holes = re.findall(r"\{\d?\}", translation)
            assert len(holes) == english.count("{}"), english


@pytest.mark.parametrize("sentence", [NO_INK, NOT_A_PICTURE, SEVERAL, GONE, CROWDED, MALFORMED, TOO_SLOW, FAILED])
def test_a_refusal_is_in_the_table(sentence):
    assert sentence in CHINESE


@pytest.fixture
def chinese(chromium, demo):
    with chromium.new_context(**LAPTOP, locale="zh-CN") as context:
        yield Page(context.new_page(), demo)


def untranslated(page):
    """Texts in Latin letters that can be seen or heard, except for names."""
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


def test_in_a_chinese_browser_the_whole_page_is_chinese(chinese, tmp_path):
    page = chinese
    assert page.page.evaluate("document.documentElement.lang") == "zh-CN"
    assert page.sentence() == CHINESE["Draw a digit, or choose an example."]
    assert untranslated(page) == []
    page.draw(3)
    page.wait_for(page.sentence, lambda sentence: re.fullmatch(r"预测\W3\W\d+\.\d\s%\W+", sentence))
    page.open_inside()
    assert untranslated(page) == []
    page.press("清空")
    page.draw("cross")
    page.wait_for(page.sentence, lambda sentence: sentence.startswith("不确定。最可能是"))
    page.page.route(SERVER_FUNCTION, lambda route: route.fulfill(json={"error": CROWDED}))
    page.press("撤销")
    page.wait_for(page.sentence, CHINESE[CROWDED])
    page.open_tab("上传")
    (tmp_path / "none.png").write_text("no picture")
    page.upload(tmp_path / "none.png")
    page.wait_for(page.sentence, CHINESE[NOT_A_PICTURE])
    (tmp_path / "big.png").write_bytes(bytes(11 * 2**20))
    page.upload(tmp_path / "big.png")
    page.page.get_by_text(re.compile("^文件超过了 10")).wait_for()
    page.page.get_by_role("button", name="关闭", exact=True).click()
    page.page.locator(".toast-item").wait_for(state="detached")
    page.open_tab("训练")
    page.page.get_by_role("heading", name="small 的训练过程").wait_for()
    assert untranslated(page) == []
    page.open_tab("深度")
    page.page.get_by_text("没有捷径连接时").wait_for()
    assert untranslated(page) == []


def test_in_another_browser_the_page_is_english(chromium, demo):
    with chromium.new_context(**PHONE, locale="fr-FR") as context:
        page = Page(context.new_page(), demo)
        page.draw(4)
        page.reads(4)
        assert page.page.get_by_role("tab", name="Training").is_visible()
