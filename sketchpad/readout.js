// The readout: paints a reading, in place, into ten rows that never move.
// Runs once in the page, as the body of a function of (element, trigger, props, server, upload, watch).

const digit = element.querySelector(".digit")
const sentence = element.querySelector(".sentence")
const spoken = element.querySelector(".spoken")
const seen = element.querySelector(".seen").getContext("2d")
const bars = element.querySelector(".bars")

const rows = Array.from({ length: 10 }, (_, name) => {
  const row = document.createElement("li")
  row.innerHTML =
    "<span class='name'>" + name + "</span>" +
    "<span class='track'><span class='fill'></span><span class='ghost' hidden></span></span>" +
    "<span class='percent'></span>"
  bars.append(row)
  const [fill, ghost, percent] = row.querySelectorAll(".fill, .ghost, .percent")
  return { row, fill, ghost, percent }
})

function percentOf(probability) {
  return (100 * probability).toFixed(1) + "\u00a0%"
}

function say(reading) {
  if (!reading) return props.invitation
  if (reading.error) return reading.error
  if (!reading.image.some(Boolean)) return "There is no ink to read here."
  const most = Math.max(...reading.probabilities)
  if (reading.digit !== null) return "It reads " + reading.digit + ", " + percentOf(most) + " sure."
  return "Not sure. The nearest is " + reading.probabilities.indexOf(most) + ", with " + percentOf(most) + "."
}

function show(reading, final) {
  const read = reading?.image?.some(Boolean) ? reading : null // not an error, nor an empty pad
  digit.textContent = read ? (read.digit ?? "?") : ""
  digit.classList.toggle("unsure", read?.digit === null)
  rows.forEach(({ row, fill, ghost, percent }, name) => {
    const probability = read ? read.probabilities[name] : 0
    fill.style.transform = "scaleX(" + probability + ")"
    ghost.hidden = !read?.intact
    ghost.style.width = 100 * (read?.intact?.[name] ?? 0) + "%" // what the whole network says
    percent.textContent = read ? percentOf(probability) : ""
    row.classList.toggle("top", read?.digit === name)
  })
  const pixels = new ImageData(28, 28)
  for (let i = 0; i < 784; i++) {
    pixels.data.fill(read ? read.image[i] : 0, 4 * i, 4 * i + 3)
    pixels.data[4 * i + 3] = 255
  }
  seen.putImageData(pixels, 0, 0)
  sentence.textContent = translate(say(reading))
  const news = spoken.textContent !== sentence.textContent
  if (final && news) spoken.textContent = sentence.textContent // while the pen moves it would never stop talking
}

translateAll(element)
if (props.live) {
  document.addEventListener("sketchpad:reading", (event) => show(event.detail.reading, event.detail.final))
} else {
  watch("value", () => show(props.value, true))
}
show(null, true)
