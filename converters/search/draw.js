(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function themed(chart) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const layout = structuredClone(chart.layout);
    Object.assign(layout, {
      height: chart.height_px,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--text") },
      font: { color: colour("--text"), size: 13 },
      hoverlabel: { bgcolor: colour("--sheet"), bordercolor: colour("--line"), font: { color: colour("--text") }, align: "left" },
    });
    for (const axis of [layout.xaxis, layout.yaxis]) {
      Object.assign(axis, { gridcolor: colour("--line"), linecolor: colour("--line") });
      axis.title.font = { size: 13 };
    }
    return layout;
  }

  const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const draw = () => charts.forEach((chart) => Plotly.react(chart.id, chart.data, themed(chart), options));
  draw();
  dark.addEventListener("change", draw);
})();
