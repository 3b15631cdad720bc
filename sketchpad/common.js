// Shared by all scripts of the page: asking for readings, ten bars, and the browser's language.

const PATIENCE = 5000 // ms to wait for an answer
const RETRY_AFTER = 1000 // ms, when there was none

// Keeps at most one request in flight; once it is answered, sends the newest. `nextRequest()` returns what to ask now,
// or null for nothing; `ask(request)` promises an answer, undefined if nobody is there; `show(answer, isNewest)` gets it.
function askForNewest(nextRequest, ask, show) {
  let changed = false // since the last request
  let inFlight = false
  let generation = 0

  async function update() {
    changed = true
    if (inFlight) return
    inFlight = true
    while (changed) {
      changed = false
      const request = nextRequest()
      if (!request) break
      const asked = generation
      const answer = await Promise.race([ask(request), sleep(PATIENCE)])
      if (asked !== generation) continue
      show(answer, !changed)
      if (answer) continue
      await sleep(RETRY_AFTER)
      changed = true
    }
    inFlight = false
  }

  function restart() { // the answer in flight is no longer wanted
    generation += 1
    update()
  }

  return { update, restart }
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

// Ten bars, one a digit, updated in place; page.css paints them, each component lays them out

function makeBars(list) {
  list.classList.add("probabilities")
  for (let digit = 0; digit < 10; digit++) {
    const bar = document.createElement("li")
    bar.innerHTML =
      "<span class='name'>" + digit + "</span>" +
      "<span class='track'><span class='fill'></span><span class='intact' hidden></span></span>" +
      "<span class='percent'></span>"
    list.append(bar)
  }
}

function showBars(list, reading) { // a reading, or null
  ;[...list.children].forEach((bar, digit) => {
    const probability = reading?.probabilities[digit]
    const intact = reading?.intact?.[digit] // without the ablations
    bar.style.setProperty("--probability", probability ?? 0)
    bar.style.setProperty("--intact", intact ?? 0)
    bar.querySelector(".intact").hidden = intact === undefined
    bar.querySelector(".percent").textContent = reading ? percent(probability) : ""
    bar.classList.toggle("top", reading?.digit === digit)
  })
}

function percent(probability) {
  return (100 * probability).toFixed(1) + "\u00a0%"
}

// The browser's language: WORDS translates whole English sentences; {} stands for what varies, {2} for its third value

const [language, sentences] =
  Object.entries(WORDS).find(([name]) => navigator.language.toLowerCase().startsWith(name)) ?? ["en", {}]
const patterns = Object.entries(sentences)
  .filter(([english]) => english.includes("{}"))
  .map(([english, translation]) => {
    const parts = english.split("{}").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    return [new RegExp("^" + parts.join("(.+?)") + "$"), translation]
  })

function translate(sentence) {
  if (language === "en") return sentence
  const english = sentence.replace(/\s+/g, " ").trim()
  if (english in sentences) return sentences[english]
  for (const [pattern, translation] of patterns) {
    const values = english.match(pattern)?.slice(1)
    let next = 0
    const fill = (_, index) => values[index === "" ? next++ : Number(index)]
    if (values) return translation.replace(/\{(\d?)\}/g, fill).replaceAll(" %", "\u00a0%") // no line break before it
  }
  return sentence
}

function translateAll(root) {
  if (language === "en") return
  document.documentElement.lang = navigator.language
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const translation = translate(texts.currentNode.data)
    if (translation !== texts.currentNode.data) texts.currentNode.data = translation
  }
  for (const name of ["aria-label", "title"]) {
    for (const each of root.querySelectorAll("[" + name + "]")) each.setAttribute(name, translate(each.getAttribute(name)))
  }
}

function translateNotices(changes) { // Gradio's own
  for (const { addedNodes } of changes)
    for (const node of addedNodes) if (node.matches?.(".toast-wrap, .toast-item")) translateAll(node)
}
if (language !== "en") new MutationObserver(translateNotices).observe(document, { childList: true, subtree: true })
