// What all scripts here share, once in the page: patience, and what the page says, in the browser's language.
// English sentences are the keys of WORDS; {} stands for what varies.

const PATIENCE = 5000 // ms, for an answer: later it is as good as none
const RETRY = 1000 // ms, while the server does not answer

function after(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

const [language, sentences] =
  Object.entries(WORDS).find(([name]) => navigator.language.toLowerCase().startsWith(name)) ?? ["en", {}]
const patterns = Object.entries(sentences)
  .filter(([english]) => english.includes("{}"))
  .map(([english, other]) => {
    const parts = english.split("{}").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    return [new RegExp("^" + parts.join("(.+?)") + "$"), other]
  })

function translate(sentence) {
  if (language === "en") return sentence
  const plain = sentence.replace(/\s+/g, " ").trim()
  if (plain in sentences) return sentences[plain]
  for (const [pattern, other] of patterns) {
    const holes = plain.match(pattern)?.slice(1)
    let next = 0 // {} takes the next one, {2} the third
    const filled = (_, which) => holes[which === "" ? next++ : Number(which)]
    if (holes) return other.replace(/\{(\d?)\}/g, filled).replaceAll(" %", "\u00a0%") // no line ends before it
  }
  return sentence
}

function translateAll(root) {
  if (language === "en") return
  document.documentElement.lang = navigator.language
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const other = translate(texts.currentNode.data)
    if (other !== texts.currentNode.data) texts.currentNode.data = other
  }
  for (const name of ["aria-label", "title"]) {
    for (const each of root.querySelectorAll("[" + name + "]")) each.setAttribute(name, translate(each.getAttribute(name)))
  }
}

// Gradio's own notices

function translateNotices(changes) {
  for (const { addedNodes } of changes)
    for (const node of addedNodes) if (node.matches?.(".toast-wrap, .toast-item")) translateAll(node)
}
if (language !== "en") new MutationObserver(translateNotices).observe(document, { childList: true, subtree: true })
