// Choosing a task and a design: rows, videos and sheets of others are hidden, and a panel shows the cell that is left.
"use strict";
(() => {
  const cells = JSON.parse(document.getElementById("cells").textContent);
  const chooser = document.querySelector(".choose");
  const [task, design] = ["task", "design"].map((name) => document.getElementById(`choose-${name}`));
  const panel = document.getElementById("explore");
  const svgName = "http://www.w3.org/2000/svg";
  const rows = (name) => document.querySelectorAll(`[data-${name}]`);

  function filter() {
    for (const each of document.querySelectorAll("[data-task], [data-design]")) {
      const other = (name, chosen) => chosen && each.dataset[name] && each.dataset[name] !== chosen;
      each.hidden = Boolean(other("task", task.value) || other("design", design.value));
    }
    for (const table of document.querySelectorAll("table")) {
      const body = [...table.querySelectorAll("tbody tr")];
      const empty = table.parentNode.querySelector(".none");
      if (empty) empty.hidden = body.some((row) => !row.hidden);
    }
    show();
  }

  function element(name, attributes, ...children) {
    const made = attributes.svg ? document.createElementNS(svgName, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (key !== "svg") made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function show() {
    const found = cells.cells.filter((cell) => cell.task === task.value && cell.design === design.value);
    panel.replaceChildren();
    panel.hidden = !found.length;
    if (!found.length) return;
    const cell = found[0];
    const list = element("dl", {});
    for (const [name, value] of cell.numbers) {
      list.append(element("div", {}, element("dt", {}, name), element("dd", {}, value)));
    }
    panel.append(element("h3", {}, `${cell.design} on ${cell.task_name}`), list);
    if (cell.curves.length) panel.append(curves(cell));
    else panel.append(element("p", { class: "empty" }, "No evaluations while it learned."));
  }

  function curves(cell) {
    const [width, height, left, bottom] = [640, 220, 56, 34];
    const all = cell.curves.flatMap((curve) => curve.points);
    const [xs, ys] = [all.map((p) => p[0]), all.map((p) => p[1])];
    const range = (values) => [Math.min(...values), Math.max(...values)];
    const [[x0, x1], [y0, y1]] = [range(xs), range(ys)];
    const x = (value) => left + ((width - left - 8) * (value - x0)) / (x1 - x0 || 1);
    const y = (value) => height - bottom - ((height - bottom - 10) * (value - y0)) / (y1 - y0 || 1);
    const label = `Return of the noise-free evaluations of ${cell.design} on ${cell.task_name}, a line a seed`;
    const svg = element("svg", { svg: 1, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    const text = (content, at, anchor) =>
      element("text", { svg: 1, x: at[0], y: at[1], "text-anchor": anchor, "font-size": 11, fill: "currentColor" }, content);
    for (const value of [y0, (y0 + y1) / 2, y1]) {
      svg.append(
        element("line", { svg: 1, x1: left, x2: width - 8, y1: y(value), y2: y(value), stroke: "currentColor", opacity: 0.15 }),
        text(short(value), [left - 6, y(value) + 4], "end"),
      );
    }
    for (const value of [x0, x1]) svg.append(text(short(value), [x(value), height - bottom + 15], value === x0 ? "start" : "end"));
    svg.append(text(cell.x, [(left + width) / 2, height - 4], "middle"));
    for (const curve of cell.curves) {
      const line = element(
        "polyline",
        {
          svg: 1,
          points: curve.points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" "),
          fill: "none",
          stroke: cell.colour,
          "stroke-width": 1.6,
          opacity: 0.8,
        },
        element("title", { svg: 1 }, `seed ${curve.seed}`),
      );
      svg.append(line);
    }
    return svg;
  }

  function short(value) {
    const size = Math.abs(value);
    if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
    if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
    return String(+value.toPrecision(3)).replace("-", "−");
  }

  if (rows("task").length + rows("design").length === 0 && !cells.cells.length) return;
  chooser.hidden = false;
  for (const select of [task, design]) select.addEventListener("change", filter);
  filter();
})();
