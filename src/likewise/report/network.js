// What one can do with a drawn network: hide weak edges, show the way through, ask a node for more.
(() => {
  for (const figure of document.querySelectorAll("figure.network")) {
    const about = JSON.parse(figure.querySelector("script").textContent);
    const nodes = [...figure.querySelectorAll(".node")];
    const edges = [...figure.querySelectorAll(".edge")].map((node) => ({
      node, from: node.dataset.from, to: node.dataset.to, weight: Number(node.dataset.weight),
    }));
    const [slider, way] = figure.querySelectorAll("input");
    const drawing = figure.querySelector(".drawing");
    const card = figure.querySelector(".card");
    let pinned = null;

    function reached(start, edges, from, to) {
      const seen = new Set([start]);
      for (let next = [start]; next.length;) {
        const here = next.pop();
        for (const edge of edges) {
          if (edge[from] === here && !seen.has(edge[to])) { seen.add(edge[to]); next.push(edge[to]); }
        }
      }
      return seen;
    }

    function cut() {
      const least = Number(slider.value);
      figure.querySelector("output").textContent = least.toFixed(2);
      const strong = edges.filter((edge) => edge.weight >= least - 1e-9);
      const after = reached(about.first, strong, "from", "to");
      const before = reached(about.last, strong, "to", "from");
      const stays = (key) => after.has(key) && before.has(key);
      let shown = 0, kept = 0;
      for (const edge of edges) {
        const gone = edge.weight < least - 1e-9 || !stays(edge.from) || !stays(edge.to);
        edge.node.classList.toggle("gone", gone);
        shown += !gone;
      }
      for (const node of nodes) {
        const key = node.dataset.key, end = key === about.first || key === about.last;
        node.classList.toggle("gone", !end && !stays(key));
        kept += !end && stays(key);
      }
      figure.querySelector(".count").textContent =
        `${kept} of ${nodes.length - 2} actions, ${shown} of ${edges.length} edges`;
      if (pinned && pinned.classList.contains("gone")) ask(pinned = null);
    }

    function line(tag, text, parent) {
      const made = document.createElement(tag);
      made.textContent = text;
      parent.append(made);
      return made;
    }

    function ask(node) {
      figure.classList.toggle("asking", !!node);
      for (const each of figure.querySelectorAll(".lit, .asked")) each.classList.remove("lit", "asked");
      card.hidden = !node;
      if (!node) return;
      const key = node.dataset.key, told = about.nodes[key];
      const lit = new Set([key]);
      for (const edge of edges) {
        if (edge.node.classList.contains("gone") || (edge.from !== key && edge.to !== key)) continue;
        edge.node.classList.add("lit");
        lit.add(edge.from).add(edge.to);
      }
      for (const each of nodes) each.classList.toggle("lit", lit.has(each.dataset.key));
      node.classList.add("asked");
      card.textContent = "";
      line("b", told.label, card);
      if (told.facts) line("span", told.facts, card).className = "soft";
      if (told.quotes.length) {
        const list = line("ul", "", card);
        for (const quote of told.quotes) line("li", quote, list);
      }
      const here = node.getBoundingClientRect(), room = card.parentElement.getBoundingClientRect();
      const right = here.right - room.left + 10, left = here.left - room.left - card.offsetWidth - 10;
      const x = right + card.offsetWidth <= room.width ? right : left >= 0 ? left : room.width - card.offsetWidth;
      card.style.left = `${Math.max(0, x)}px`;
      card.style.top = `${Math.max(0, Math.min(here.top - room.top - 8, room.height - card.offsetHeight))}px`;
    }

    for (const node of nodes) {
      node.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse" && !pinned) ask(node); });
      node.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse" && !pinned) ask(null); });
      node.addEventListener("focus", () => { if (!pinned && node.matches(":focus-visible")) ask(node); });
      node.addEventListener("blur", () => { if (!pinned) ask(null); });
      node.addEventListener("click", (event) => {
        event.stopPropagation();
        pinned = pinned === node ? null : node;
        ask(pinned);
      });
      node.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); node.dispatchEvent(new Event("click")); }
      });
    }
    document.addEventListener("click", () => { pinned = null; ask(null); });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") { pinned = null; ask(null); } });
    slider.addEventListener("input", cut);
    way.addEventListener("change", () => figure.classList.toggle("with-way", way.checked));
    drawing.scrollLeft = (drawing.scrollWidth - drawing.clientWidth) / 2;
    cut();
  }
})();
