// The pad: keeps strokes as points, in units of its side, and sends them while the pen moves.
// Gradio runs this once, as the body of a function of (element, trigger, props, server, upload, watch).

const PEN_WIDTH = 0.055 // of the pad's side
const MIN_STEP = 0.004 // of the pad's side: nearer points add nothing
const REPLAY = 700 // ms, for an example
const NO_ANSWER = "The server does not answer. Your drawing is kept and will be read when the server is back."

const canvas = element.querySelector("canvas")
const hint = element.querySelector(".hint")
const [undoButton, redoButton, clearButton] = element.querySelectorAll(".tools button")
const context = canvas.getContext("2d")

let drawing = [] // strokes, each an array of [x, y]; a finished stroke never changes
let pen = null // the pointer that draws now
let past = [] // drawings to undo to
let future = [] // drawings to redo to
let network = props.network
let ablations = [] // pairs of a block and a part
let replay = null // the animation frame that draws the next part of an example
let finishReplay // draws all of it

// Ink on the canvas

function paint() {
  const side = Math.round(canvas.clientWidth * devicePixelRatio)
  if (canvas.width !== side || canvas.height !== side) canvas.width = canvas.height = side
  context.setTransform(side, 0, 0, side, 0, 0)
  context.clearRect(0, 0, 1, 1)
  for (const stroke of drawing) paintLine(stroke)
}

function paintLine(points) {
  context.strokeStyle = getComputedStyle(canvas).color
  context.lineWidth = PEN_WIDTH
  context.lineCap = context.lineJoin = "round"
  context.beginPath()
  context.moveTo(points[0][0] + 1e-6, points[0][1]) // a line of no length, from a tap, would paint no dot
  for (const point of points) context.lineTo(...point)
  context.stroke()
}

new ResizeObserver(paint).observe(canvas)
new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ["class"] }) // light and dark

// Strokes

function positionOf(event) {
  const box = canvas.getBoundingClientRect()
  const round = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1e4) / 1e4
  return [round((event.clientX - box.left) / box.width), round((event.clientY - box.top) / box.height)]
}

canvas.addEventListener("pointerdown", (event) => {
  if (pen !== null || event.button !== 0) return
  event.preventDefault()
  canvas.setPointerCapture(event.pointerId)
  rememberDrawing()
  pen = event.pointerId
  drawing = [...drawing, [positionOf(event)]]
  paintLine(drawing.at(-1))
  drawingChanged()
})

canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pen) return
  const stroke = drawing.at(-1)
  const events = event.getCoalescedEvents?.() ?? []
  const end = stroke.length - 1
  for (const each of events.length ? events : [event]) {
    const [x, y] = positionOf(each)
    if (Math.hypot(x - stroke.at(-1)[0], y - stroke.at(-1)[1]) >= MIN_STEP) stroke.push([x, y])
  }
  if (end === stroke.length - 1) return
  paintLine(stroke.slice(end))
  drawingChanged()
})

canvas.addEventListener("lostpointercapture", (event) => { // lifted, interrupted by a gesture, or the pad was hidden
  if (event.pointerId !== pen) return
  pen = null
  paint() // the stroke in one line, without seams
  drawingChanged()
})
canvas.addEventListener("contextmenu", (event) => pen !== null && event.preventDefault())

// Whole drawings: undo, redo, clear, examples

function rememberDrawing() {
  stopReplay()
  past.push(drawing)
  future = []
}

function replaceDrawing(next) {
  drawing = next
  pen = null
  paint()
  drawingChanged(reader.restart)
}

function step(from, to) { // through the drawings that were
  stopReplay()
  if (!from.length) return
  to.push(drawing)
  replaceDrawing(from.pop())
}

const undo = () => step(past, future)
const redo = () => step(future, past)

function clear() {
  if (!drawing.length) return
  rememberDrawing()
  replaceDrawing([])
}

function showExample(strokes) {
  rememberDrawing()
  replaceDrawing([])
  const total = strokes.flat().length
  const instantly = matchMedia("(prefers-reduced-motion: reduce)").matches
  const start = performance.now()
  const draw = (now) => {
    let points = instantly ? total : Math.max(1, Math.ceil((total * (now - start)) / REPLAY))
    replay = points < total ? requestAnimationFrame(draw) : null
    drawing = []
    for (const stroke of strokes) {
      if (points > 0) drawing.push(stroke.slice(0, points))
      points -= stroke.length
    }
    paint()
    drawingChanged()
  }
  finishReplay = () => draw(Infinity)
  draw(start)
}

function stopReplay() {
  if (replay === null) return
  cancelAnimationFrame(replay)
  finishReplay()
}

undoButton.addEventListener("click", undo)
redoButton.addEventListener("click", redo)
clearButton.addEventListener("click", clear)
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]")
  if (typing || pen !== null || !canvas.offsetParent) return
  const key = (event.ctrlKey || event.metaKey ? "ctrl+" : "") + (event.shiftKey ? "shift+" : "") + event.key.toLowerCase()
  const actions = { "ctrl+z": undo, "ctrl+y": redo, "ctrl+shift+z": redo, delete: clear, backspace: clear }
  if (!(key in actions)) return
  event.preventDefault()
  actions[key]()
})

props.examples.forEach((strokes, digit) => {
  const button = document.createElement("button")
  button.type = "button"
  button.setAttribute("aria-label", "Example " + digit)
  const lines = strokes.map((stroke) => "<polyline points='" + stroke.join(" ") + "'/>").join("")
  button.innerHTML = "<svg viewBox='0 0 100 100' aria-hidden='true'>" + lines + "</svg>"
  const scaled = strokes.map((stroke) => stroke.map(([x, y]) => [x / 100, y / 100]))
  button.addEventListener("click", () => showExample(scaled))
  element.querySelector(".examples").append(button)
})
translateAll(element)

// Readings

const reader = askForNewest(
  () => drawing.length ? { network, strokes: drawing, ablations } : null,
  (request) => server.read_strokes(request),
  (reading, isNewest) => {
    const isFinal = isNewest && pen === null && replay === null
    if (reading) announce(reading, isFinal)
    else announce({ error: NO_ANSWER }, true)
  },
)

function drawingChanged(ask = reader.update) {
  hint.hidden = drawing.length > 0
  undoButton.disabled = !past.length
  redoButton.disabled = !future.length
  clearButton.disabled = !drawing.length
  if (!drawing.length) announce(null, true)
  ask()
}

function announce(reading, isFinal) {
  document.dispatchEvent(new CustomEvent("sketchpad:reading", { detail: { reading, isFinal, strokes: drawing } }))
}

document.addEventListener("sketchpad:network", (event) => {
  network = event.detail
  ablations = []
  reader.restart()
})

document.addEventListener("sketchpad:ablations", (event) => {
  ablations = event.detail
  reader.restart()
})

paint()
