// Charts in the colours of the page: text and lines take the colour of the text around them.
const ink = "currentColor";
const config = {
  background: null, font: "inherit", lineBreak: "\n", view: {stroke: null},
  axis: {labelColor: ink, titleColor: ink, gridColor: ink, gridOpacity: 0.15, domainColor: ink, domainOpacity: 0.5,
    tickColor: ink, tickOpacity: 0.5, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal"},
  legend: {labelColor: ink, titleColor: ink, labelFontSize: 12, titleFontSize: 12, labelLimit: 400, rowPadding: 4},
};
for (const chart of document.querySelectorAll(".chart")) {
  const specification = JSON.parse(chart.querySelector("script").textContent);
  const place = document.createElement("div");
  chart.append(place);
  delete specification.config;
  window.vegaEmbed(place, specification, {actions: false, renderer: "svg", config, tooltip: {theme: "custom"}});
}
