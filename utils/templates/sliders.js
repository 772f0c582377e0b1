// Sliders that move an example digit and show the accuracy of each network on digits moved in the same way.
const indexOfNearest = (values, wanted) =>
  values.reduce((best, value, place) => Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? place : best, 0);
for (const box of document.querySelectorAll(".sliders")) {
  const data = JSON.parse(box.querySelector("script").textContent), image = box.querySelector("img");
  const sliders = Object.fromEntries([...box.querySelectorAll("input")].map(slider => [slider.name, slider]));
  const neutral = {right: 0, up: 0, scale: 1, angle: 0};
  const reach = Number(sliders.right.max);
  const accuracies = {
    right: () => data.shift.map(map => map[reach - Number(sliders.up.value)][reach + Number(sliders.right.value)]),
    scale: () => data.scale.map(curve => curve[indexOfNearest(data.scales, Number(sliders.scale.value))]),
    angle: () => data.angle.map(curve => curve[indexOfNearest(data.angles, Number(sliders.angle.value))]),
  };
  accuracies.up = accuracies.right;
  const show = moved => {
    const isShift = name => name === "right" || name === "up";
    for (const [name, slider] of Object.entries(sliders))
      if (name !== moved && !(isShift(name) && isShift(moved))) slider.value = neutral[name];
    const {right, up, scale, angle} = Object.fromEntries(
      Object.entries(sliders).map(([name, slider]) => [name, Number(slider.value)]));
    for (const [name, slider] of Object.entries(sliders))
      slider.nextElementSibling.value = `${slider.value}${slider.dataset.unit}`;
    image.style.transform = `translate(${right / 28 * 100}%, ${-up / 28 * 100}%) rotate(${-angle}deg) scale(${scale})`;
    accuracies[moved]().forEach((accuracy, place) => {
      const row = box.querySelectorAll(".bars > div")[place];
      row.querySelector(".bar").style.setProperty("--share", accuracy);
      row.querySelector(".value").textContent = `${(100 * accuracy).toFixed(1)}%`;
    });
  };
  for (const slider of Object.values(sliders)) slider.addEventListener("input", () => show(slider.name));
  box.querySelector("button").addEventListener("click", () => {
    for (const [name, slider] of Object.entries(sliders)) slider.value = neutral[name];
    show("right");
  });
  show("right");
}
