"use strict";
// The table of all tracks. Rows come in chunks of columns; the first is shown when the section comes near, the others are
// loaded when somebody sorts, filters or turns a page. Lineage is loaded when a row is opened.

(() => {
  const table = document.getElementById("tracks-table");
  if (!table) return;
  const { page, element, select, number, tierWord, configuration } = dataEngine;
  const status = document.getElementById("tracks-status"), pager = document.getElementById("tracks-pager");
  const PAGE = 50, CODED = ["label", "tier", "reason"], KEPT = ["sst", "itt"];
  const codes = {}, names = {}, places = {}, scores = {};
  const clip = [], index = [], seconds = [], chunkStarts = [];
  let rows = 0, loaded = 0, order = null, first = 0, sort = { key: null, descending: false };
  const NO_WISHES = { label: "", tier: "", reason: "", text: "", score: "", from: null, to: null };
  const wishes = { ...NO_WISHES };

  for (const key of CODED) { codes[key] = []; names[key] = []; places[key] = new Map(); }
  for (const score of page.scores) scores[score.name] = [];

  /** Append a chunk; its own numbering of names is turned into that of the table. */
  function take(chunk) {
    chunkStarts.push(rows);
    for (const key of CODED) {
      const translated = chunk[key].names.map((name) => {
        if (!places[key].has(name)) { places[key].set(name, names[key].length); names[key].push(name); }
        return places[key].get(name);
      });
      for (const code of chunk[key].codes) codes[key].push(translated[code]);
    }
    for (const score of page.scores) for (const value of chunk[score.name]) scores[score.name].push(value === null ? NaN : value);
    for (const value of chunk.clip) clip.push(value);
    for (const value of chunk.index) index.push(value);
    for (const value of chunk.seconds) seconds.push(value);
    rows = clip.length;
    loaded += 1;
  }

  let everything = null;
  function all() {
    everything ??= (async () => {
      while (loaded < page.chunks) {
        if (page.chunks > 2) status.textContent = `Loading ${loaded} of ${page.chunks} parts …`;
        take(await dataEngine.load(`tracks-${loaded}`));
      }
    })();
    return everything;
  }

  // Choosing and sorting

  function collect() {
    const kept = wishes.tier === "kept";
    const wanted = Object.fromEntries(CODED.map((key) => [key, wishes[key] === "" || (kept && key === "tier") ? -1 : places[key].get(wishes[key]) ?? -2]));
    const text = wishes.text.trim().toLowerCase();
    const values = wishes.score ? scores[wishes.score] : null;
    const found = [];
    for (let row = 0; row < rows; row += 1) {
      if (kept && !KEPT.includes(names.tier[codes.tier[row]])) continue;
      if (CODED.some((key) => wanted[key] !== -1 && codes[key][row] !== wanted[key])) continue;
      if (text && !clip[row].includes(text)) continue;
      if (values && wishes.from !== null && !(values[row] >= wishes.from)) continue;
      if (values && wishes.to !== null && !(values[row] <= wishes.to)) continue;
      found.push(row);
    }
    return found;
  }

  function sorted(found) {
    if (!sort.key) return found;
    const sign = sort.descending ? -1 : 1;
    if (CODED.includes(sort.key)) {
      const alphabetic = names[sort.key].map((name, code) => [name, code]).sort(([a], [b]) => a.localeCompare(b));
      const rank = new Int32Array(alphabetic.length);
      alphabetic.forEach(([, code], at) => { rank[code] = at; });
      return found.sort((a, b) => sign * (rank[codes[sort.key][a]] - rank[codes[sort.key][b]]) || a - b);
    }
    const values = { clip, seconds }[sort.key] || scores[sort.key];
    if (sort.key === "clip") return found.sort((a, b) => sign * (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : 0) || a - b);
    return found.sort((a, b) => Number.isNaN(values[a]) - Number.isNaN(values[b]) || sign * (values[a] - values[b]) || a - b);
  }

  async function refresh() {
    try {
      await all();
    } catch (error) {
      status.textContent = error.message;
      return;
    }
    order = sorted(collect());
    first = 0;
    render();
  }

  // Drawing

  /** The leading scores, and the one that is filtered by. */
  function columns() {
    return [
      { key: "label", title: "label" }, { key: "tier", title: "decision" },
      ...page.scores.filter((score) => score.leading || score.name === wishes.score)
        .map((score) => ({ key: score.name, title: score.title, numeric: true, about: score.meaning })),
      { key: "reason", title: "reason" }, { key: "seconds", title: "length", numeric: true }, { key: "clip", title: "clip" },
    ];
  }

  function head() {
    return element("thead", {}, element("tr", {}, columns().map((column) => {
      const cell = element("th", { scope: "col", className: column.numeric ? "n" : "" });
      cell.append(element("button", { type: "button", title: column.about || "", onclick: () => {
        const start = Boolean(column.numeric);
        sort = { key: column.key, descending: sort.key === column.key ? !sort.descending : start };
        refresh();
      } }, column.title));
      if (sort.key === column.key) cell.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
      return cell;
    })));
  }

  function body(visible) {
    const shown = columns();
    return element("tbody", {}, visible.map((row) => {
      const tier = names.tier[codes.tier[row]];
      const line = element("tr", { className: "row" }, shown.map(({ key }) => {
        if (key === "tier") return element("td", {}, element("span", { className: `badge ${tier}` }, tierWord(tier)));
        if (key === "seconds") return element("td", { className: "n" }, `${number(seconds[row], 1)} s`);
        if (key === "clip") return element("td", { className: "clip" }, element("button", { type: "button", "aria-expanded": "false" }, `${clip[row]}.${index[row]}`));
        if (key in scores) return element("td", { className: "n" }, number(scores[key][row]));
        return element(key === "label" ? "th" : "td", key === "label" ? { scope: "row" } : { className: "reason" }, names[key][codes[key][row]]);
      }));
      line.addEventListener("click", () => toggle(line, row));
      return line;
    }));
  }

  function render() {
    const total = order ? order.length : page.rows;
    const visible = order ? order.slice(first, first + PAGE) : Array.from({ length: Math.min(PAGE, rows) }, (_, row) => row);
    table.replaceChildren(head(), body(visible));
    status.textContent = total ? `${first + 1} to ${first + visible.length} of ${total.toLocaleString("en")} tracks` : "No track matches.";
    const turn = (to) => async () => { if (!order) await refresh(); first = to; render(); table.parentElement.scrollIntoView({ block: "nearest" }); };
    pager.replaceChildren(
      element("button", { type: "button", className: "plainbutton", disabled: first === 0, onclick: turn(first - PAGE) }, "← Previous"),
      element("button", { type: "button", className: "plainbutton", disabled: first + PAGE >= total, onclick: turn(first + PAGE) }, "Next →"));
  }

  async function toggle(line, row) {
    const button = line.querySelector("td.clip button");
    if (line.nextElementSibling && line.nextElementSibling.classList.contains("open")) {
      line.nextElementSibling.remove();
      button.setAttribute("aria-expanded", "false");
      return;
    }
    let chunk = 0;
    while (chunk + 1 < chunkStarts.length && chunkStarts[chunk + 1] <= row) chunk += 1;
    const lineage = await dataEngine.load(`lineage-${chunk}`), at = row - chunkStarts[chunk];
    const coded = (key) => lineage[key].names[lineage[key].codes[at]];
    const code = (text) => element("code", {}, text || "–");
    const fact = (title, ...content) => element("div", {}, element("dt", {}, title), element("dd", {}, ...content));
    const unit = coded("unit"), shard = coded("shard");
    const listening = dataEngine.listening, audible = listening && await listening.has(clip[row]);
    const others = page.scores.filter((score) => !score.leading && !Number.isNaN(scores[score.name][row]))
      .map((score) => `${score.title} ${number(scores[score.name][row])}`).join(" · ");
    const details = element("dl", { className: "facts wide" },
      fact("recording", code(coded("path")), coded("path") ? `, ${number(lineage.start_s[at], 1)} s to ${number(lineage.start_s[at] + lineage.duration_s[at], 1)} s` : ""),
      audible ? fact("listen", element("a", { href: "#listen", onclick: () => listening.choose({ clip: clip[row] }) }, "to the clip and its tracks")) : null,
      others ? fact("scores", others) : null,
      fact("track", code(lineage.track_id[at]), ", negative query: ", coded("negatives") || "none"),
      fact("separated with", code(coded("checkpoint")), coded("source") === "label_free" ? ", without labels" : "", ", configuration ", configuration(coded("config_hash")), `, round ${page.round}`),
      fact("manifest", element("a", { href: `../tracks/${unit}.parquet` }, `tracks/${unit}.parquet`)),
      fact("shard", shard ? element("a", { href: `../shards/${shard}` }, `shards/${shard}`) : "in none", shard ? `, member ${clip[row]}.${index[row]}.flac` : ""));
    line.after(element("tr", { className: "open" }, element("td", { colSpan: columns().length }, details)));
    button.setAttribute("aria-expanded", "true");
  }

  // Controls

  let pause = 0;
  function wish(name, read = (value) => value) {
    return (event) => {
      const value = read(event.target.value);
      clearTimeout(pause);
      pause = setTimeout(() => { wishes[name] = value; refresh(); }, event.type === "input" ? 250 : 0);
    };
  }

  function build() {
    const options = (key, none) => [["", none], ...(key === "tier" ? [["kept", "kept"]] : []), ...[...names[key]].filter(Boolean).sort((a, b) => a.localeCompare(b)).map((name) => [name, key === "tier" ? tierWord(name) : name])];
    const asNumber = (value) => (value === "" ? null : Number(value));
    const label = select("Label", options("label", "all labels"), wish("label"));
    const tier = select("Decision", options("tier", "all"), wish("tier"));
    const reason = select("Reason", options("reason", "all reasons"), wish("reason"));
    const bounded = wish("score");
    const from = element("input", { type: "number", step: "any", disabled: true, oninput: wish("from", asNumber) });
    const to = element("input", { type: "number", step: "any", disabled: true, oninput: wish("to", asNumber) });
    const score = select("Score", [["", "any"], ...page.scores.map((one) => [one.name, one.title])], (event) => {
      from.disabled = to.disabled = event.target.value === "";
      bounded(event);
    });
    const text = element("input", { type: "search", placeholder: "clip id", oninput: wish("text") });
    const form = document.getElementById("tracks-controls");
    const reset = element("button", { type: "reset", className: "plainbutton" }, "Reset");
    form.append(label.label, tier.label, reason.label, score.label, element("label", {}, "from", from), element("label", {}, "to", to), element("label", {}, "Clip", text), reset);
    form.addEventListener("reset", () => {
      clearTimeout(pause);
      Object.assign(wishes, NO_WISHES);
      from.disabled = to.disabled = true;
      refresh();
    });
    // The first chunk need not have every name: the lists are completed when somebody opens them.
    const complete = async () => {
      await all();
      for (const [key, control, none] of [["label", label, "all labels"], ["reason", reason, "all reasons"], ["tier", tier, "all"]]) {
        const value = control.node.value;
        control.node.replaceChildren(...options(key, none).map(([each, title]) => element("option", { value: each }, title)));
        control.node.value = value;
      }
    };
    if (page.chunks > 1) form.addEventListener("focusin", complete, { once: true });
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  dataEngine.whenNear(table.closest("section"), async () => {
    try {
      take(await dataEngine.load("tracks-0"));
    } catch (error) {
      status.textContent = error.message;
      return;
    }
    build();
    render();
  });
})();
