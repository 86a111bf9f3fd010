"use strict";
// The listening sample: clips as cards with one lane per waveform. All lanes of a clip share one position, so that one
// can switch between mixture, tracks, remix and residual while it plays.

(() => {
  const place = document.getElementById("listen-clips");
  if (!place) return;
  const { page, element, select, number, withUnit, tierWord, configuration } = dataEngine;
  const status = document.getElementById("listen-status");
  const SHOWN = 8;
  const PLAY = "M2 1 L11 6 L2 11 Z", PAUSE = "M2 1 H5 V11 H2 Z M7 1 H10 V11 H7 Z";
  const TITLES = { mixture: "Mixture", remix: "Remix", residual: "Residual" };
  const ABOUT = { mixture: "the clip as it is", remix: "sum of the tracks", residual: "mixture minus remix" };
  let clips = [], shown = SHOWN, playing = null, wishes = {};

  // Player

  function icon(path) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 12 12");
    svg.setAttribute("aria-hidden", "true");
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
    drawn.setAttribute("d", path);
    svg.append(drawn);
    return svg;
  }

  function show(lane) {
    const on = playing === lane && !lane.audio.paused;
    lane.button.setAttribute("aria-pressed", String(on));
    lane.button.replaceChildren(icon(on ? PAUSE : PLAY));
  }

  function move(lane) {
    const share = lane.audio.duration ? lane.audio.currentTime / lane.audio.duration : 0;
    lane.seek.value = share;
    lane.head.style.left = `${100 * share}%`;
    lane.wave.classList.toggle("live", share > 0);
  }

  function follow() {
    if (!playing) return;
    move(playing);
    if (!playing.audio.paused) requestAnimationFrame(follow);
  }

  function stop() {
    if (!playing) return;
    const lane = playing;
    playing = null;
    lane.audio.pause();
    show(lane);
  }

  /** Play a lane from where its clip is; of two lanes of one clip the second goes on where the first was. */
  function start(lane) {
    const before = playing;
    const at = before && before.card === lane.card ? before.audio.currentTime : lane.card.position;
    stop();
    if (before && before !== lane) before.wave.classList.remove("live");
    playing = lane;
    lane.card.position = at < (lane.audio.duration || Infinity) ? at : 0;
    lane.audio.currentTime = lane.card.position;
    lane.audio.play().then(follow, () => { status.textContent = "This browser cannot play the file."; stop(); });
    show(lane);
  }

  function toggle(lane) {
    if (playing === lane && !lane.audio.paused) { lane.card.position = lane.audio.currentTime; stop(); } else start(lane);
  }

  function laneOf(card, entry, name) {
    const audio = element("audio", { preload: "none", src: entry.audio });
    const lane = { card, audio };
    lane.button = element("button", { type: "button", className: "play", "aria-label": `Play ${name}`, "aria-pressed": "false", onclick: () => toggle(lane) }, icon(PLAY));
    lane.seek = element("input", { type: "range", min: 0, max: 1, step: 0.001, value: 0, "aria-label": `Position in ${name}` });
    lane.head = element("i");
    const picture = element("img", { loading: "lazy", decoding: "async", alt: `Mel spectrogram of ${name}`, src: entry.picture });
    lane.wave = element("div", { className: "wave" }, picture, lane.seek, lane.head);
    lane.seek.addEventListener("input", () => {
      const duration = lane.audio.duration || card.seconds;
      card.position = lane.seek.value * duration;
      if (playing === lane) lane.audio.currentTime = card.position; else start(lane);
    });
    audio.addEventListener("ended", () => { card.position = 0; if (playing === lane) stop(); });
    audio.addEventListener("seeked", () => move(lane));
    card.lanes.push(lane);
    return lane;
  }

  // Cards

  function scoresOf(track) {
    return page.scores.filter((score) => track.scores[score.name] !== null && track.scores[score.name] !== undefined);
  }

  /** Scores as elements that do not break within, with dots between. */
  function scoreList(track, wanted, scope = "track") {
    return scoresOf(track).filter((score) => score.scope === scope && wanted(score))
      .map((score) => element("span", { className: "one", title: score.meaning }, `${score.title} ${withUnit(track.scores[score.name], score)}`))
      .flatMap((one, place) => (place ? [" · ", one] : [one]));
  }

  function what(entry) {
    const heard = entry.heard ? element("span", { className: "soft", title: "what the tagger hears, with its scores" },
      `tagger: ${entry.heard.map(([name, score]) => `${name} ${number(score)}`).join(", ")}`,
      entry.unheard.length ? element("span", { className: "unheard" }, `does not hear ${entry.unheard.join(", ")}`) : null) : null;
    if (entry.kind !== "track") {
      return element("div", { className: "what" }, element("b", {}, TITLES[entry.kind]), element("span", { className: "soft" }, ABOUT[entry.kind]), heard);
    }
    const track = entry.track;
    const own = scoreList(track, (score) => score.leading);
    const tier = track.outcome === "failed" ? "failed" : track.tier;
    return element("div", { className: "what" },
      element("b", {}, track.label), " ", element("span", { className: `badge ${tier}` }, tierWord(tier)),
      own.length ? element("span", { className: "soft" }, own) : null,
      track.reason ? element("span", { className: "soft" }, track.reason) : null, heard);
  }

  /** The scores that do not lead, as wide as the lane. */
  function moreScores(entry) {
    const others = entry.kind === "track" ? scoreList(entry.track, (score) => !score.leading) : [];
    return others.length ? element("details", { className: "others soft" }, element("summary", {}, "more scores"), others) : null;
  }

  function fact(title, ...content) {
    return element("div", {}, element("dt", {}, title), element("dd", {}, ...content));
  }

  /** The window of its recording: "10–20 s". */
  function span(source) {
    const [start, end] = [source.start_s, source.start_s + source.duration_s].map((value) => number(value, Number.isInteger(value) ? 0 : 1));
    return `${start}–${end} s`;
  }

  function lineage(clip) {
    const source = clip.source, first = clip.lanes.find((lane) => lane.kind === "track").track;
    const code = (text) => element("code", {}, text || "–");
    const link = (href, text) => element("a", { href }, text);
    const shards = [...new Set(clip.lanes.filter((lane) => lane.track && lane.track.shard).map((lane) => lane.track.shard))];
    return element("details", {}, element("summary", {}, "Lineage, recipe and files"),
      element("dl", { className: "facts wide" },
        fact("recording", code(source.path), source.path ? `, ${number(source.start_s, 1)} s to ${number(source.start_s + source.duration_s, 1)} s` : ""),
        source.labels ? fact("labels given", source.labels.join(", ") || "none") : null,
        source.problems && source.problems.length ? fact("notes", source.problems.join(", ")) : null,
        source.recipe ? fact("recipe", link(source.recipe, "how this scene was mixed")) : null,
        fact("clip", code(clip.id)),
        fact("separated with", code(first.checkpoint), first.source === "label_free" ? ", without labels" : "", ", configuration ", configuration(first.config_hash), `, round ${page.round}`),
        fact("manifest", link(`../tracks/${clip.unit}.parquet`, `tracks/${clip.unit}.parquet`)),
        fact("shard", ...(shards.length ? shards.map((name) => link(`../shards/${name}`, `shards/${name}`)) : ["in none"])),
        fact("audio", clip.again ? "separated again for this page: shards hold no rejected tracks" : "as it is in the shard"),
        ...clip.lanes.filter((lane) => lane.audio).map((lane) => fact(lane.kind === "track" ? lane.track.label : TITLES[lane.kind].toLowerCase(), link(lane.audio, lane.audio.split("/").pop()),
          lane.kind === "track" ? ` · track ${lane.track.track_id}` : ""))));
  }

  function card(clip) {
    const holder = { lanes: [], position: 0, seconds: clip.source.duration_s || 1 };
    const labels = clip.lanes.filter((lane) => lane.kind === "track").map((lane) => lane.track.label);
    const first = clip.lanes.find((lane) => lane.kind === "track").track;
    const shared = scoreList(first, () => true, "clip");
    const name = clip.source.path ? `${clip.source.path.split("/").pop()}, ${span(clip.source)}` : clip.id;
    const article = element("article", { className: "cliparticle", "data-clip": clip.id },
      element("header", {}, element("h3", {}, labels.join(" + ")), element("span", { className: "soft" }, shared), element("span", { className: "soft" }, element("code", {}, name))));
    for (const entry of clip.lanes) {
      const title = `${entry.kind === "track" ? entry.track.label : TITLES[entry.kind].toLowerCase()} of clip ${clip.id}`;
      if (entry.audio) {
        const lane = laneOf(holder, entry, title);
        article.append(element("div", { className: "lane", "data-kind": entry.kind }, lane.button, what(entry), lane.wave, moreScores(entry) || "", lane.audio));
      } else {
        article.append(element("div", { className: "lane silent", "data-kind": entry.kind }, element("span"), what(entry), element("div", { className: "wave soft" }, "no audio"), moreScores(entry) || ""));
      }
    }
    article.append(lineage(clip));
    article.addEventListener("keydown", (event) => keys(event, article, holder));
    return article;
  }

  function keys(event, article, holder) {
    if (!holder.lanes.length || event.altKey || event.ctrlKey || event.metaKey) return;
    const focused = holder.lanes.findIndex((lane) => lane.button === event.target || lane.seek === event.target);
    const active = playing && playing.card === holder ? holder.lanes.indexOf(playing) : focused;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (focused >= 0 && step) {
      const next = holder.lanes[Math.min(Math.max(active + step, 0), holder.lanes.length - 1)];
      if (playing && playing.card === holder) start(next);
      next.button.focus();
    } else if (focused >= 0 && (event.key === "ArrowRight" || event.key === "ArrowLeft") && active >= 0) {
      const audio = holder.lanes[active].audio, by = event.key === "ArrowRight" ? 1 : -1;
      holder.position = Math.min(Math.max(audio.currentTime + by, 0), audio.duration || holder.seconds);
      audio.currentTime = holder.position;
    } else if (event.key === "n" || event.key === "p") {
      const other = event.key === "n" ? article.nextElementSibling : article.previousElementSibling;
      const button = other && other.querySelector(".play");
      if (button) button.focus();
    } else if (event.key === " " && event.target.type === "range") toggle(holder.lanes[active]);
    else return;
    event.preventDefault();
  }

  // Filters

  const tracksOf = (clip) => clip.lanes.filter((lane) => lane.kind === "track").map((lane) => lane.track);
  const tierOf = (track) => (track.outcome === "failed" ? "failed" : track.tier);

  const unheard = (clip) => clip.lanes.some((lane) => lane.unheard && lane.unheard.length);

  function matches(track) {
    const kept = tierOf(track) === "sst" || tierOf(track) === "itt";
    return (!wishes.label || track.label === wishes.label) && (!wishes.reason || track.reason === wishes.reason)
      && (!wishes.decision || (wishes.decision === "kept" ? kept : tierOf(track) === wishes.decision));
  }

  function chosen() {
    const found = clips.filter((clip) => (!wishes.tagger || unheard(clip)) && (!wishes.clip || clip.id === wishes.clip)).map((clip) => [clip, tracksOf(clip).filter(matches)]).filter(([, tracks]) => tracks.length);
    if (!wishes.sort) return found.map(([clip]) => clip);
    const [name, order] = wishes.sort.split(" "), sign = order === "low" ? 1 : -1;
    const value = (tracks) => {
      const values = tracks.map((track) => track.scores[name]).filter((score) => score !== null && score !== undefined);
      return values.length ? sign * Math.min(...values.map((score) => sign * score)) : null;
    };
    const keyed = found.map(([clip, tracks]) => [clip, value(tracks)]);
    keyed.sort(([, a], [, b]) => (a === null) - (b === null) || sign * (a - b));
    return keyed.map(([clip]) => clip);
  }

  function render() {
    stop();
    const found = chosen();
    place.replaceChildren(...found.slice(0, shown).map(card));
    if (found.length > shown) {
      const more = element("button", { type: "button", className: "plainbutton", onclick: () => { shown += SHOWN; render(); } }, `Show ${Math.min(SHOWN, found.length - shown)} more`);
      place.append(element("div", { className: "more" }, more));
    }
    status.textContent = found.length ? `${found.length} of ${clips.length} clips` : "No clip of the sample matches.";
  }

  function counted(values) {
    const counts = new Map();
    values.forEach((value) => counts.set(value, (counts.get(value) || 0) + 1));
    return [...counts].sort(([a], [b]) => a.localeCompare(b)).map(([value, count]) => [value, `${value} (${count})`]);
  }

  const controls = {};
  function build() {
    const tracks = clips.flatMap(tracksOf);
    const wish = (name) => (event) => { wishes[name] = event.target.value; delete wishes.clip; shown = SHOWN; render(); };
    const tiers = [...new Set(tracks.map(tierOf))];
    controls.label = select("Label", [["", "all labels"], ...counted(tracks.map((track) => track.label))], wish("label"));
    controls.decision = select("Decision", [["", "all"], ["kept", "kept"], ...tiers.map((tier) => [tier, tierWord(tier)])], wish("decision"));
    controls.reason = select("Reason", [["", "all reasons"], ...counted(tracks.map((track) => track.reason).filter(Boolean))], wish("reason"));
    controls.tagger = select("Tagger", [["", "any"], ["unheard", "does not hear a label"]], wish("tagger"));
    controls.sort = select("Sort by", [["", "clip id"], ...page.scores.flatMap((score) => [[`${score.name} low`, `${score.title}, lowest first`], [`${score.name} high`, `${score.title}, highest first`]])], wish("sort"));
    const reset = element("button", { type: "button", className: "plainbutton", onclick: () => choose({}) }, "Reset");
    document.getElementById("listen-controls").append(...Object.values(controls).map((control) => control.label), reset);
  }

  /** Set the filters (those with a control, and ``clip``, an id); anything not in ``wanted`` is cleared. */
  function choose(wanted) {
    wishes = { ...wanted };
    for (const [name, control] of Object.entries(controls)) control.node.value = wishes[name] || "";
    shown = SHOWN;
    render();
  }

  let ready = null;
  function open() {
    ready ??= dataEngine.load("listen").then((value) => { clips = value.clips; build(); render(); },
      (error) => { status.textContent = error.message; });
    return ready;
  }

  dataEngine.listening = {
    has: (clip) => open().then(() => clips.some((one) => one.id === clip)),
    choose,
  };
  document.getElementById("listen-controls").addEventListener("submit", (event) => event.preventDefault());
  document.querySelectorAll("[data-listen-label]").forEach((link) => link.addEventListener("click", () => open().then(() => choose({ label: link.dataset.listenLabel }))));
  dataEngine.whenNear(place.parentElement, open);
})();
