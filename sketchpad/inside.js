// Inside: shows what each residual block does with the drawing, and ablates parts of blocks.
// Gradio runs this once, as the body of a function of (element, trigger, props, server, upload, watch).

const MAPS = { x: "x", F: "F(x)", sum: "F(x)\u00a0+\u00a0x" }
const ORANGE = [234, 110, 20] // positive
const BLUE = [40, 110, 230] // negative

const details = element.querySelector("details")
const note = element.querySelector(".note")
const board = element.querySelector(".blocks")
const strip = element.querySelector(".strip")

let strokes = [] // of the drawing, as it was when the pen was last lifted
let network = props.network
let blocks = new Map() // by name: what the page shows of each block, and its ablated parts

makeBars(strip)
translateAll(element)
showNothing()

// Asking, only while it is open

const reader = askForNewest(
  () => {
    if (!details.open || !strokes.length) return null
    const open = [...blocks.values()].filter((block) => !block.maps.hidden).map((block) => block.name)
    return { network, strokes, ablations: ablations(), open: blocks.size ? open : null }
  },
  (request) => server.look_inside(request),
  (answer) => {
    if (answer?.blocks) show(answer.blocks)
    else note.textContent = translate(answer?.error ?? "The server does not answer.")
  },
)

details.addEventListener("toggle", reader.update)

document.addEventListener("sketchpad:reading", ({ detail }) => {
  showBars(strip, detail.reading?.error ? null : detail.reading)
  if (!detail.isFinal) return
  strokes = detail.strokes
  if (!strokes.length) showNothing()
  reader.restart()
})

document.addEventListener("sketchpad:network", (event) => {
  network = event.detail
  blocks = new Map()
  board.replaceChildren()
  reader.restart()
})

// Ablations

function ablations() {
  return [...blocks.values()].flatMap((block) => [...block.ablated].map((part) => [block.name, part]))
}

function toggleAblation(block, part, button) {
  if (!block.ablated.delete(part)) block.ablated.add(part)
  button.setAttribute("aria-pressed", block.ablated.has(part))
  document.dispatchEvent(new CustomEvent("sketchpad:ablations", { detail: ablations() }))
}

// Showing

function showNothing() {
  note.textContent = translate("Draw a digit to see the blocks at work.")
  for (const block of blocks.values()) {
    for (const canvas of Object.values(block.canvases)) canvas.width = canvas.width // wipes it
    showRatio(block, 0, "")
  }
}

function showRatio(block, share, text) {
  block.ratio.textContent = text
  block.fill.style.transform = "scaleX(" + share + ")"
}

function show(seen) {
  note.textContent = seen.length ? "" : translate("This network has no shortcuts, so there is nothing to compare.")
  for (const { name, ratio, maps } of seen) {
    if (!blocks.has(name)) blocks.set(name, makeBlock(name, Boolean(maps)))
    const block = blocks.get(name)
    if (ratio === null) showRatio(block, 0, "\u2013")
    else showRatio(block, ratio / (1 + ratio), ratio.toFixed(2))
    if (maps) for (const part in MAPS) paint(block.canvases[part], maps[part])
  }
}

function makeBlock(name, open) {
  const root = document.createElement("section")
  root.className = "block"
  root.innerHTML =
    "<header><button type='button' class='name'></button><span class='ratio' title='Size of F(x) relative to x'>" +
    "\u2016F(x)\u2016 / \u2016x\u2016 <b></b><span class='track'><span class='fill'></span></span></span>" +
    "<button type='button' class='ablate' aria-pressed='false'>Switch off F(x)</button>" +
    "<button type='button' class='ablate' aria-pressed='false'>Switch off x</button></header><div class='maps'></div>"
  const [title, ablateF, ablateX] = root.querySelectorAll("button")
  const [ratio, fill, maps] = root.querySelectorAll("b, .fill, .maps")
  const block = { name, ratio, fill, maps, canvases: {}, ablated: new Set() }
  for (const [part, label] of Object.entries(MAPS)) {
    const row = document.createElement("div")
    row.innerHTML = "<span>" + label + "</span><canvas role='img' aria-label='Channels of " + name + ": " + label + "'></canvas>"
    block.canvases[part] = row.lastChild
    maps.append(row)
  }
  const setOpen = (isOpen) => {
    maps.hidden = !isOpen
    title.setAttribute("aria-expanded", isOpen)
  }
  title.textContent = name
  title.addEventListener("click", () => {
    setOpen(maps.hidden)
    reader.update()
  })
  ablateF.addEventListener("click", () => toggleAblation(block, "F", ablateF))
  ablateX.addEventListener("click", () => toggleAblation(block, "shortcut", ablateX))
  setOpen(open)
  translateAll(root)
  board.append(root)
  return block
}

function paint(canvas, { height, width, channels }) { // channels side by side, from -127 to 127
  canvas.height = height
  canvas.width = channels.length * (width + 1) - 1
  const context = canvas.getContext("2d")
  const image = context.createImageData(canvas.width, height)
  channels.forEach((values, channel) =>
    values.forEach((value, i) => {
      const column = channel * (width + 1) + (i % width)
      const pixel = 4 * (Math.floor(i / width) * canvas.width + column)
      image.data.set([...(value > 0 ? ORANGE : BLUE), 2 * Math.abs(value)], pixel)
    }),
  )
  context.putImageData(image, 0, 0)
}
