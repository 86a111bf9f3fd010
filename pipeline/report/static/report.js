"use strict";
// What every page of the report shares: data files on demand, elements from plain values, sortable tables.
// Text from data only ever becomes text nodes and attribute values; nothing is parsed as markup.

const dataEngine = (() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const files = new Map();   // name -> promise of its value
  const received = new Map();

  /** The value of data/<name>.js: a script, because a page from file:// may fetch nothing. */
  function load(name) {
    if (!files.has(name)) {
      files.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onload = () => { script.remove(); resolve(received.get(name)); };
        script.onerror = () => { script.remove(); files.delete(name); reject(new Error(`data/${name}.js is missing`)); };
        document.head.append(script);
      }));
    }
    return files.get(name);
  }

  /** An element: properties by name (data-, aria- and the like as attributes), listeners as onclick etc., children. */
  function element(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name in node && !name.includes("-")) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  }

  /** A labelled select; options are [value, text] pairs. */
  function select(title, options, onchange) {
    const node = element("select", { onchange, "aria-label": title }, options.map(([value, text]) => element("option", { value }, text)));
    return { node, label: element("label", {}, title, node) };
  }

  const dash = "–";
  function number(value, digits = 2) {
    if (value === null || value === undefined || Number.isNaN(value)) return dash;
    const text = value.toFixed(digits);
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
  }
  function withUnit(value, score) {
    return score.unit && value !== null && value !== undefined ? `${number(value, 1)} ${score.unit}` : number(value);
  }
  function tierWord(tier) { return tier === "rejected" || tier === "failed" ? tier : tier.toUpperCase(); }

  /** A configuration by its hash; round.json holds it. */
  function configuration(hash) {
    return element("a", { href: "../round.json" }, element("code", {}, hash || dash));
  }

  /** Run something once when a node comes near the window. */
  function whenNear(node, run) {
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); run(); }
    }, { rootMargin: "600px" });
    observer.observe(node);
  }

  // What was kept stands at the right end of the flow: on a narrow screen that is what there is to see first.
  for (const drawing of document.querySelectorAll("#flow .drawing")) {
    whenNear(drawing, () => { drawing.scrollLeft = drawing.scrollWidth; });
  }

  // Sortable tables: a cell's data-v (or its text) decides; cells without a value come last.
  function valueOf(cell) {
    const raw = cell.dataset.v ?? cell.textContent.trim().replaceAll(",", "").replace("−", "-");
    if (raw === "" || raw === dash) return null;
    const parsed = Number(raw.replace(/\s*(%|dB)$/, ""));
    return Number.isNaN(parsed) ? raw.toLowerCase() : parsed;
  }
  function sortTable(table, column, descending) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return descending ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
  }
  function makeSortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (head.classList.contains("unsorted")) return;
      const button = element("button", { type: "button", title: head.title }, head.textContent);
      button.addEventListener("click", () => {
        const first = head.classList.contains("n") ? "descending" : "ascending";
        const other = first === "descending" ? "ascending" : "descending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        sortTable(table, column, order === "descending");
      });
      head.replaceChildren(button);
    });
  }

  function filterTable(input) {
    const rows = document.getElementById(input.dataset.filters).tBodies[0].rows;
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }

  function markSection() {
    const links = [...document.querySelectorAll(".sections a")];
    const sections = links.map((link) => document.querySelector(link.getAttribute("href")));
    const mark = () => {
      const line = window.innerHeight * 0.3;
      let current = -1;
      sections.forEach((section, index) => { if (section && section.getBoundingClientRect().top < line) current = index; });
      links.forEach((link, index) => index === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current"));
    };
    let waiting = false;
    window.addEventListener("scroll", () => {
      if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; mark(); }); }
    }, { passive: true });
    mark();
  }

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll("input[data-filters]").forEach((input) => input.addEventListener("input", () => filterTable(input)));
  markSection();

  return { page, load, element, select, number, withUnit, tierWord, configuration, whenNear, receive: (name, value) => received.set(name, value) };
})();
