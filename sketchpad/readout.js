// The readout: shows a reading in ten rows that never move.
// Gradio runs this once, as the body of a function of (element, trigger, props, server, upload, watch).

const digit = element.querySelector(".digit")
const sentence = element.querySelector(".sentence")
const announced = element.querySelector(".announced")
const image = element.querySelector(".pixels").getContext("2d")
const bars = element.querySelector(".bars")

function describe(answer) {
  if (!answer) return props.invitation
  if (answer.error) return answer.error
  const confidence = Math.max(...answer.probabilities)
  const best = answer.probabilities.indexOf(confidence) + " (" + percent(confidence) + ")."
  return (answer.digit === null ? "Not sure. Best guess: " : "Prediction: ") + best
}

function show(answer, isFinal) { // a reading, an error, or nothing
  const reading = answer?.probabilities ? answer : null
  digit.textContent = reading ? (reading.digit ?? "?") : ""
  digit.classList.toggle("unsure", reading?.digit === null)
  showBars(bars, reading)
  const pixels = new ImageData(28, 28)
  for (let i = 0; i < 784; i++) {
    pixels.data.fill(reading ? reading.image[i] : 0, 4 * i, 4 * i + 3)
    pixels.data[4 * i + 3] = 255
  }
  image.putImageData(pixels, 0, 0)
  sentence.textContent = translate(describe(answer))
  const isNews = announced.textContent !== sentence.textContent
  if (isFinal && isNews) announced.textContent = sentence.textContent // a screen reader hears no half-drawn digits
}

makeBars(bars)
translateAll(element)
if (props.live) {
  document.addEventListener("sketchpad:reading", (event) => show(event.detail.reading, event.detail.isFinal))
} else {
  watch("value", () => show(props.value, true))
}
show(null, true)
