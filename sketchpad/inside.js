// Inside: asks what each residual block does with the drawing, paints it, and says which parts the network shall lose.
// Runs once in the page, as the body of a function of (element, trigger, props, server, upload, watch).

const PARTS = [["x", "x"], ["F", "F(x)"], ["sum", "F(x)\u00a0+\u00a0x"]]

const details = element.querySelector("details")
const note = element.querySelector(".note")
const board = element.querySelector(".blocks")

let latest = null // the last reading of a finished stroke, with its strokes
let network = props.network
const blocks = new Map() // what is on the page, by the block's name
let stale = false // there is a newer reading than the one shown
let asking = false // an answer is awaited

const strip = Array.from({ length: 10 }, (_, name) => {
  const column = document.createElement("span")
  column.innerHTML = "<span class='track'><span class='fill'></span><span class='ghost'></span></span>" + name
  element.querySelector(".strip").append(column)
  return { column, fill: column.querySelector(".fill"), ghost: column.querySelector(".ghost") }
})

translateAll(element)

// Asking: only while it is open, one request at a time, then the newest drawing

async function ask() {
  stale = true
  if (asking) return
  asking = true
  while (stale && details.open && latest?.strokes.length) {
    stale = false
    const open = [...blocks.values()].filter((block) => !block.maps.hidden).map((block) => block.name)
    const shown = { network, strokes: latest.strokes, cuts: cuts(), open: blocks.size ? open : null }
    const seen = await Promise.race([server.look_inside(shown), after(PATIENCE)])
    if (shown.network !== network) {
      stale = true
    } else if (seen) {
      if (seen.error) note.textContent = translate(seen.error)
      else show(seen.blocks)
    } else {
      note.textContent = translate("The server does not answer.")
      await after(RETRY)
      stale = true
    }
  }
  asking = false
  if (!latest?.strokes.length) wipe()
}

details.addEventListener("toggle", ask)

document.addEventListener("sketchpad:reading", ({ detail }) => {
  showStrip(detail.reading)
  if (!detail.final) return
  latest = detail
  ask()
})

document.addEventListener("sketchpad:network", (event) => {
  network = event.detail
  blocks.clear()
  board.replaceChildren()
})

// Cutting

function cuts() {
  return [...blocks.values()].flatMap((block) => [...block.cut].map((part) => [block.name, part]))
}

function drop(block, part, button) {
  if (!block.cut.delete(part)) block.cut.add(part)
  button.setAttribute("aria-pressed", block.cut.has(part))
  document.dispatchEvent(new CustomEvent("sketchpad:cuts", { detail: cuts() }))
}

// Showing

function showStrip(reading) {
  const read = reading?.probabilities && reading.image.some(Boolean)
  strip.forEach(({ column, fill, ghost }, name) => {
    fill.style.transform = "scaleY(" + (read ? reading.probabilities[name] : 0) + ")"
    ghost.hidden = !reading?.intact
    ghost.style.height = 100 * (reading?.intact?.[name] ?? 0) + "%" // what the whole network says
    column.classList.toggle("top", Boolean(read) && reading.digit === name)
  })
}

function wipe() {
  note.textContent = translate("Draw a digit to see the blocks at work.")
  for (const { canvases, ratio, fill } of blocks.values()) {
    for (const canvas of Object.values(canvases)) canvas.width = canvas.width // that wipes it
    ratio.textContent = ""
    fill.style.transform = "scaleX(0)"
  }
}

function show(seen) {
  note.textContent = seen.length ? "" : translate("This network has no shortcuts, so there is nothing to compare.")
  for (const { name, ratio, maps } of seen) {
    if (!blocks.has(name)) blocks.set(name, makeBlock(name, Boolean(maps)))
    const block = blocks.get(name)
    block.ratio.textContent = ratio === null ? "\u2013" : ratio.toFixed(2)
    block.fill.style.transform = "scaleX(" + (ratio === null ? 0 : ratio / (1 + ratio)) + ")"
    if (maps) for (const [part] of PARTS) paint(block.canvases[part], maps[part])
  }
}

function makeBlock(name, open) {
  const root = document.createElement("section")
  root.className = "block"
  root.innerHTML =
    "<header><button type='button' class='name'></button>" +
    "<span class='ratio' title='how much F(x) is, beside x'>\u2016F(x)\u2016 / \u2016x\u2016 <b></b><span class='track'><span class='fill'></span></span></span>" +
    "<button type='button' class='drop' aria-pressed='false'>drop F(x)</button>" +
    "<button type='button' class='drop' aria-pressed='false'>drop x</button></header><div class='maps'></div>"
  const [toggle, dropF, dropX] = root.querySelectorAll("button")
  const maps = root.querySelector(".maps")
  const canvases = {}
  for (const [part, label] of PARTS) {
    const row = document.createElement("div")
    row.innerHTML = "<span>" + label + "</span><canvas role='img' aria-label='Channels of " + name + ": " + label + "'></canvas>"
    canvases[part] = row.querySelector("canvas")
    maps.append(row)
  }
  const [ratio, fill] = [root.querySelector(".ratio b"), root.querySelector(".fill")]
  const block = { name, maps, canvases, ratio, fill, cut: new Set() }
  const setOpen = (is) => {
    maps.hidden = !is
    toggle.setAttribute("aria-expanded", is)
  }
  toggle.textContent = name
  toggle.addEventListener("click", () => {
    setOpen(maps.hidden)
    if (!maps.hidden) ask()
  })
  dropF.addEventListener("click", () => drop(block, "F", dropF))
  dropX.addEventListener("click", () => drop(block, "shortcut", dropX))
  setOpen(open)
  translateAll(root)
  board.append(root)
  return block
}

function paint(canvas, { height, width, channels }) {
  canvas.height = height
  canvas.width = channels.length * (width + 1) - 1
  const context = canvas.getContext("2d")
  const image = context.createImageData(canvas.width, height)
  channels.forEach((values, channel) =>
    values.forEach((value, i) => {
      const at = 4 * (Math.floor(i / width) * canvas.width + channel * (width + 1) + (i % width))
      image.data.set(value > 0 ? [234, 110, 20] : [40, 110, 230], at)
      image.data[at + 3] = 2 * Math.abs(value)
    }),
  )
  context.putImageData(image, 0, 0)
}
