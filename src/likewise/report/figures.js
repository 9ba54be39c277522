// Draws every figure of the page, in the colours that its style sheet has at the moment.
(() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll("div.plot")].map((node) => ({
    node,
    text: node.parentElement.querySelector("script").textContent,
  }));
  const onPaper = 640; // px, narrower than A4 and Letter with their margins

  function draw({ node, text }) {
    if (!node.clientWidth) return; // folded away; drawn when it is opened
    if (!node.classList.contains("js-plotly-plot")) node.textContent = ""; // what it shows in words, until now
    const style = getComputedStyle(root);
    const figure = JSON.parse(text, (key, value) => {
      const name = typeof value === "string" && /^var\((--[a-z0-9-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    });
    const width = root.classList.contains("printing") ? Math.min(onPaper, node.clientWidth) : node.clientWidth;
    Plotly.react(node, figure.data, { ...figure.layout, width }, { displayModeBar: false, scrollZoom: false });
  }

  const observer = new ResizeObserver((changes) => {
    for (const change of changes) {
      const plot = plots.find(({ node }) => node === change.target);
      if (plot.width !== plot.node.clientWidth) {
        plot.width = plot.node.clientWidth;
        draw(plot);
      }
    }
  });
  for (const plot of plots) observer.observe(plot.node);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach(draw));

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
    root.classList.add("printing");
    plots.forEach(draw);
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    root.classList.remove("printing");
    plots.forEach(draw);
  });
})();
