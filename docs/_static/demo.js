// The demonstration on the front page: decodes four numbers to an image of a digit.
"use strict";

function numbers(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Kind(bytes.buffer);
}

function decoderOf(demo) {
  const layers = demo.layers.map((layer) => ({
    weight: numbers(layer.weight, Int8Array),
    scale: numbers(layer.scale, Float32Array),
    bias: numbers(layer.bias, Float32Array),
  }));
  return function decode(code) {
    let values = code;
    layers.forEach(({ weight, scale, bias }, number) => {
      const isLast = number === layers.length - 1;
      const inputs = values;
      values = Array.from(bias, (start, row) => {
        let sum = 0;
        for (let i = 0; i < inputs.length; i++) sum += weight[row * inputs.length + i] * inputs[i];
        const value = start + scale[row] * sum;
        return isLast ? 1 / (1 + Math.exp(-value)) : Math.max(value, 0);
      });
    });
    return values;
  };
}

function startDemo(demo, place) {
  const decode = decoderOf(demo);
  const canvas = place.querySelector("canvas");
  const context = canvas.getContext("2d");
  const status = place.querySelector("output");
  const side = canvas.width;
  const sliders = [...place.querySelectorAll("input")];

  function draw() {
    const start = performance.now();
    const values = decode(sliders.map((slider) => slider.valueAsNumber));
    const image = context.createImageData(side, side);
    values.forEach((value, i) => image.data.fill(255 * value, 4 * i, 4 * i + 3));
    for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
    context.putImageData(image, 0, 0);
    status.textContent = `Decoded in ${(performance.now() - start).toFixed(1)} ms.`;
    status.dataset.values = values.map((value) => value.toFixed(4)).join(" ");
  }

  sliders.forEach((slider) => slider.addEventListener("input", draw));
  place.querySelectorAll("button").forEach((button, digit) => {
    button.addEventListener("click", () => {
      sliders.forEach((slider, i) => { slider.value = demo.digits[digit][i]; });
      draw();
    });
  });
  place.querySelectorAll("button")[3].click();
}

startDemo(DEMO, document.getElementById("demo"));
