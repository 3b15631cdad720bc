// The pad: keeps strokes as points, in units of its side, and sends them while the pen moves.
// Runs once in the page, as the body of a function of (element, trigger, props, server, upload, watch).

const PEN = 0.055 // of the pad's side
const STEP = 0.004 // of the pad's side: nearer points add nothing
const REPLAY = 700 // ms, for an example

const canvas = element.querySelector("canvas")
const hint = element.querySelector(".hint")
const [undoButton, redoButton, clearButton] = element.querySelectorAll(".tools button")
const context = canvas.getContext("2d")

let drawing = [] // strokes, each an array of [x, y]; a finished stroke is never changed
let pen = null // the pointer that draws now
let past = [] // drawings to undo to
let future = [] // drawings to redo to
let network = props.network
let cuts = [] // parts of the network that it shall do without
let replay = null // the animation frame that draws the next part of an example
let finishReplay // draws the whole of it
let stale = false // the drawing has changed since it was last sent
let asking = false // an answer is awaited
let generation = 0 // answers from before a drawing was replaced are not for it

// Ink on the canvas

function paint() {
  const side = Math.round(canvas.clientWidth * devicePixelRatio)
  if (canvas.width !== side || canvas.height !== side) canvas.width = canvas.height = side // also wipes it
  context.setTransform(side, 0, 0, side, 0, 0)
  context.clearRect(0, 0, 1, 1)
  for (const stroke of drawing) paintLine(stroke)
}

function paintLine(points) {
  context.strokeStyle = getComputedStyle(canvas).color
  context.lineWidth = PEN
  context.lineCap = context.lineJoin = "round"
  context.beginPath()
  context.moveTo(...points[0])
  for (const point of points) context.lineTo(...point) // a line to where it starts makes the dot of a tap
  context.stroke()
}

new ResizeObserver(paint).observe(canvas)
new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ["class"] }) // light and dark

// Strokes by pointer

function place(event) {
  const box = canvas.getBoundingClientRect()
  const round = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1e4) / 1e4
  return [round((event.clientX - box.left) / box.width), round((event.clientY - box.top) / box.height)]
}

canvas.addEventListener("pointerdown", (event) => {
  if (pen !== null || event.button !== 0) return
  event.preventDefault()
  canvas.setPointerCapture(event.pointerId)
  stopReplay()
  pen = event.pointerId
  past.push(drawing)
  future = []
  drawing = [...drawing, [place(event)]]
  paintLine(drawing.at(-1))
  changed()
})

canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pen) return
  const stroke = drawing.at(-1)
  const events = event.getCoalescedEvents?.() ?? []
  const start = stroke.length - 1
  for (const each of events.length ? events : [event]) {
    const [x, y] = place(each)
    if (Math.hypot(x - stroke.at(-1)[0], y - stroke.at(-1)[1]) >= STEP) stroke.push([x, y])
  }
  if (start === stroke.length - 1) return
  paintLine(stroke.slice(start))
  changed()
})

canvas.addEventListener("lostpointercapture", (event) => { // lifted, or taken away: by a gesture, or as the pad is hidden
  if (event.pointerId !== pen) return
  pen = null
  paint() // in one line what was painted in pieces
  changed()
})
canvas.addEventListener("contextmenu", (event) => pen !== null && event.preventDefault())

// Whole drawings: undo, redo, clear, examples

function replaceDrawing(next) {
  drawing = next
  pen = null
  generation += 1
  paint()
  changed()
}

function undo() {
  stopReplay()
  if (!past.length) return
  future.push(drawing)
  replaceDrawing(past.pop())
}

function redo() {
  stopReplay()
  if (!future.length) return
  past.push(drawing)
  replaceDrawing(future.pop())
}

function clear() {
  stopReplay()
  if (!drawing.length) return
  past.push(drawing)
  future = []
  replaceDrawing([])
}

function showExample(strokes) {
  stopReplay()
  past.push(drawing)
  future = []
  const total = strokes.reduce((sum, stroke) => sum + stroke.length, 0)
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches
  const start = performance.now()
  replaceDrawing([])
  const draw = (now) => {
    let points = still ? total : Math.max(1, Math.ceil((total * (now - start)) / REPLAY))
    replay = points < total ? requestAnimationFrame(draw) : null
    drawing = []
    for (const stroke of strokes) {
      if (points > 0) drawing.push(stroke.slice(0, points))
      points -= stroke.length
    }
    paint()
    changed()
  }
  finishReplay = () => draw(Infinity)
  draw(start)
}

function stopReplay() {
  if (replay === null) return
  cancelAnimationFrame(replay)
  finishReplay() // what comes next, comes on top of the whole example
}

undoButton.addEventListener("click", undo)
redoButton.addEventListener("click", redo)
clearButton.addEventListener("click", clear)
document.addEventListener("keydown", (event) => {
  const elsewhere = event.target.closest?.("input, textarea, select, [contenteditable]")
  if (elsewhere || pen !== null || !canvas.offsetParent) return
  const key = event.key.toLowerCase()
  const command = event.ctrlKey || event.metaKey
  const action =
    command && key === "z" ? (event.shiftKey ? redo : undo)
    : command && key === "y" ? redo
    : !command && (key === "delete" || key === "backspace") ? clear
    : null
  if (!action) return
  event.preventDefault()
  action()
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

// Asking: one request at a time, then the newest drawing; nothing is asked about an empty pad

function changed() {
  hint.hidden = drawing.length > 0
  undoButton.disabled = !past.length
  redoButton.disabled = !future.length
  clearButton.disabled = !drawing.length
  if (!drawing.length) show(null, true)
  stale = true
  ask()
}

async function ask() {
  if (asking) return
  asking = true
  while (stale && drawing.length) {
    stale = false
    const asked = generation
    const final = pen === null && replay === null
    const reading = await Promise.race([server.read_strokes({ network, cuts, strokes: drawing }), after(PATIENCE)])
    if (asked !== generation) continue
    if (reading) {
      show(reading, final)
    } else {
      show({ error: "The server does not answer. Your drawing is kept and will be read when it is back." }, true)
      await after(RETRY)
      stale = true
    }
  }
  asking = false
}

function show(reading, final) {
  document.dispatchEvent(new CustomEvent("sketchpad:reading", { detail: { reading, final, strokes: drawing } }))
}

function readAnew() {
  generation += 1
  changed()
}

document.addEventListener("sketchpad:network", (event) => {
  network = event.detail
  cuts = []
  readAnew()
})

document.addEventListener("sketchpad:cuts", (event) => {
  cuts = event.detail
  readAnew()
})

paint()
