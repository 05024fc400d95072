(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const plot = document.getElementById("plot");
  const axes = Object.keys(figure.layout).filter((name) => /^[xy]axis/.test(name));

  function themed() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const layout = structuredClone(figure.layout);
    Object.assign(layout, {
      height: figure.height_px,
      barmode: "overlay",
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--text") },
      font: { color: colour("--text"), size: 13 },
      hoverlabel: { bgcolor: colour("--sheet"), bordercolor: colour("--line"), font: { color: colour("--text") }, align: "left" },
    });
    for (const name of axes) {
      Object.assign(layout[name], { gridcolor: colour("--line"), linecolor: colour("--line"), automargin: false });
      layout[name].title.font = { size: 13 };
    }
    return layout;
  }

  const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const draw = () => Plotly.react(plot, figure.data, themed(), options);
  draw();
  dark.addEventListener("change", draw);
})();
