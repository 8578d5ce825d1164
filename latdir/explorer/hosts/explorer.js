// The explorer of latdir: one module for the page (openPage) and the notebook (render).
// All state lives in the Python session; this draws what it tells and asks for what is wished.

const ICONS = {
  dice: '<rect x="3" y="3" width="18" height="18" rx="4"/><path d="M8 8h.01M16 8h.01M12 12h.01M8 16h.01M16 16h.01"/>',
  undo: '<path d="M9 14 4 9l5-5"/><path d="M4 9h10a6 6 0 0 1 0 12h-3"/>',
  redo: '<path d="m15 14 5-5-5-5"/><path d="M20 9H10a6 6 0 0 0 0 12h3"/>',
  keep: '<path d="M6 3h12v18l-6-4-6 4z"/>',
  eye: '<path d="M2 12s4-7 10-7 10 7 10 7-4 7-10 7-10-7-10-7z"/><circle cx="12" cy="12" r="3"/>',
  lock: '<rect x="5" y="11" width="14" height="10" rx="2"/><path d="M8 11V7a4 4 0 0 1 8 0v4"/>',
  open: '<rect x="5" y="11" width="14" height="10" rx="2"/><path d="M8 11V7a4 4 0 0 1 7.5-2"/>',
  photo: '<rect x="3" y="5" width="18" height="15" rx="2"/><circle cx="9" cy="10" r="2"/><path d="m4 19 6-5 4 3 3-3 4 4"/>',
  close: '<path d="M6 6l12 12M18 6 6 18"/>',
  film: '<rect x="3" y="5" width="18" height="14" rx="2"/><path d="M8 5v14M16 5v14M3 12h18"/>',
  save: '<path d="M12 4v11m-5-5 5 5 5-5M5 20h14"/>',
  code: '<path d="m8 7-5 5 5 5M16 7l5 5-5 5"/>',
  sheet: '<rect x="3" y="3" width="7" height="7" rx="1"/><rect x="14" y="3" width="7" height="7" rx="1"/><rect x="3" y="14" width="7" height="7" rx="1"/><rect x="14" y="14" width="7" height="7" rx="1"/>',
  bank: '<path d="M4 6h16M4 12h16M4 18h16"/><circle cx="9" cy="6" r="2"/><circle cx="15" cy="12" r="2"/><circle cx="8" cy="18" r="2"/>',
};
const KEYS = [
  ["arrow keys", "move the focused slider"], ["B", "hold for the original"], ["D", "another seed"],
  ["Z, shift Z", "undo, redo"], ["K", "keep on the shelf"], ["0", "all sliders to 0"],
  ["/", "search"], ["?", "these keys"],
  ["Teach: 1 … 5", "answer a strip"], ["Teach: space, Enter", "choose an image, done"], ["Teach: Z", "take an answer back"],
];
const SETTLED = 180; // ms after the last change of a slider that it becomes a step
const SEARCH_FROM = 12;
const SIGNS = { degrees: "°", years: " y", probability: "", sigma: "σ" };

function h(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  // JupyterLab would take these keys for its own.
  if (/^(BUTTON|INPUT|SELECT|TEXTAREA|SUMMARY)$/.test(node.tagName)) {
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function icon(name) {
  const holder = document.createElement("span");
  holder.className = "icon";
  holder.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true">${ICONS[name]}</svg>`;
  return holder;
}

const button = (name, label, onclick, more = {}) =>
  h("button", { type: "button", title: label, onclick, "aria-label": label, ...more }, icon(name));

const labeled = (name, label, onclick, more = {}) =>
  h("button", { type: "button", onclick, ...more }, icon(name), label);

const short = (value) => {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3).replace("-", "−");
};
const plain = (value) => String(Number(value.toFixed(3)));
const signed = (value) => (value >= 0 ? "+" : "") + short(value);
const suffix = (unit) => SIGNS[unit] ?? (unit ? ` ${unit}` : "");
/** A picture to draw. A `Blob` goes by another process: 2 ms, at times 10, where this takes 0.7. */
async function decoded(kind, bytes) {
  if (!window.ImageDecoder) return createImageBitmap(new Blob([bytes], { type: kind }));
  const { image } = await new ImageDecoder({ data: bytes, type: kind }).decode();
  // As a bitmap: a frame is not smoothed well where it is enlarged.
  const bitmap = await createImageBitmap(image);
  image.close();
  return bitmap;
}
const newSeed = () => Math.floor(Math.random() * 100000);

/** Draw an explorer into `root` and talk to its session through `link`. */
export function mount(root, link, keyTarget = root) {
  const view = {
    state: null, sliders: new Map(), listed: [], total: 0, attributes: [], steps: [], at: null,
    scores: new Map(), strengths: {}, shelf: new Map(), compared: [], unit: {}, sort: "bank",
    wishes: {}, waiting: null, sent: 0, painted: 0, base: null, picture: null, shown: null, holding: false,
    tab: "explore",
  };
  const rows = new Map();

  // ---- what is sent

  const ask = (verb, more = {}, payload) => {
    const id = (view.sent += 1);
    link.send({ verb, id, ...more }, payload);
    return id;
  };
  /** Of edits and sources only the newest is sent, and only when the one before was answered. */
  const wish = (verb, more) => {
    const before = view.wishes[verb] ?? {};
    view.wishes[verb] = { ...before, ...more, final: Boolean(before.final || more.final) };
    pump();
  };
  const pump = () => {
    const [verb] = Object.keys(view.wishes);
    if (view.waiting !== null || !verb) return;
    const more = view.wishes[verb];
    delete view.wishes[verb];
    view.waiting = ask(verb, more);
  };
  /** Anything else takes its turn after what is wished already. */
  const act = (verb, more, payload) => {
    finish();
    for (const [wished, given] of Object.entries(view.wishes)) view.waiting = ask(wished, given);
    view.wishes = {};
    return ask(verb, more, payload);
  };
  let settling = 0;
  let touched = "";
  /** The edit of one slider, or of several at once, is one step of the history. */
  const finish = () => {
    if (settling) wish("edit", { amounts: view.state.amounts, final: true });
    clearTimeout(settling);
    settling = 0;
  };
  const edit = (changes) => {
    const names = Object.keys(changes).join();
    if (names !== touched) finish();
    touched = names;
    const amounts = { ...view.state.amounts, ...changes };
    for (const name of Object.keys(amounts)) if (!amounts[name]) delete amounts[name];
    view.state = { ...view.state, amounts };
    wish("edit", { amounts });
    showAmounts();
    clearTimeout(settling);
    settling = setTimeout(finish, SETTLED);
  };
  const source = (more) => {
    view.base = null;
    wish("source", { ...more, final: true });
  };

  // ---- the parts of the page

  const canvas = h("canvas", { role: "img", "aria-label": "The edited picture" });
  const range = h("p", { className: "range" });
  const notice = h("p", { className: "notice", role: "status", "aria-live": "polite" });
  const banner = h("p", { className: "banner", role: "alert", hidden: true });
  const title = h("h1", {}, "latdir");
  const facts = h("span", { className: "facts" });
  const hold = button("eye", "Show the original while held (B)", null, {
    onpointerdown: () => original(true), onpointerup: () => original(false),
    onpointerleave: () => original(false), onblur: () => original(false),
  });
  const undo = button("undo", "Undo (Z)", () => act("move", { by: -1 }));
  const redo = button("redo", "Redo (shift Z)", () => act("move", { by: 1 }));
  const keep = button("keep", "Keep on the shelf (K)", () => act("keep"));
  const seed = h("input", {
    type: "number", min: 0, max: 2 ** 53 - 1, step: 1, "aria-label": "Seed",
    onchange: () => source({ seed: Math.max(0, Math.floor(Number(seed.value) || 0)) }),
  });
  const psi = h("input", {
    type: "range", min: 0, max: 1.5, step: 0.01, "aria-label": "Truncation",
    oninput: () => source({ truncation: Number(psi.value) }),
    ondblclick: () => source({ truncation: 1 }),
  });
  const psiValue = h("output", {});
  const mixSeed = h("input", {
    type: "number", min: 0, step: 1, placeholder: "seed", "aria-label": "Seed to mix with",
    onchange: () => mix(),
  });
  const mixPart = h("input", {
    type: "range", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "How much of the other seed",
    oninput: () => mix(),
  });
  const mix = () => {
    const fraction = Number(mixPart.value);
    if (!fraction) return source({ unmixed: true, mix: null });
    if (mixSeed.value === "") mixSeed.value = newSeed();
    return source({ unmixed: false, mix: { seed: Number(mixSeed.value), fraction } });
  };
  const file = h("input", {
    type: "file", accept: "image/*", hidden: true, "aria-label": "Photograph or exported picture",
    onchange: () => { drop(file.files[0]); file.value = ""; },
  });
  const dice = () => source({ seed: newSeed() });
  const list = h("div", { className: "sliders" });
  const more = h("p", { className: "faint" });
  const search = h("input", {
    type: "search", placeholder: "Search directions", "aria-label": "Search directions", hidden: true,
    oninput: () => searched(),
  });
  const sort = h("select", {
    "aria-label": "Order of the sliders",
    onchange: () => { view.sort = sort.value; if (view.sort === "effect") ask("measure"); drawList(); },
  },
    h("option", { value: "bank" }, "Bank order"), h("option", { value: "name" }, "By name"),
    h("option", { value: "effect" }, "By effect"));
  const reset = h("button", { type: "button", onclick: () => zero() }, "Reset");
  const scores = h("div", { className: "scores" });
  const scoresBox = h("section", { className: "scores-box", "aria-label": "Scores", hidden: true },
    h("h2", {}, "Scores", h("span", { className: "faint" }, "change since the start; lock what must not move")),
    scores);
  const layers = h("div", { className: "layers" });
  const layersBox = h("section", { className: "layers-box", "aria-label": "Layers", hidden: true }, h("h2", {}, "Layers"), layers);
  const history = h("div", { className: "strip" });
  const shelf = h("div", { className: "strip shelf" });
  const comparison = h("div", { className: "comparison", hidden: true });
  const shelfBox = h("section", { className: "shelf-box", "aria-label": "Shelf", hidden: true },
    h("h2", {}, "Shelf", h("span", { className: "faint" }, "tick two to compare")), shelf, comparison);
  const code = h("textarea", { readOnly: true, hidden: true, rows: 3, "aria-label": "Code" });
  const sweepOf = h("select", { "aria-label": "What the sweep moves" });
  const help = h("dl", { className: "keys", hidden: true },
    ...KEYS.flatMap(([key, what]) => [h("dt", {}, key), h("dd", {}, what)]));

  const section = (name, label, ...parts) => h("section", { className: name, "aria-label": label }, ...parts);
  const left = h("div", { className: "left" },
    section("stage", "Picture",
      h("figure", {}, canvas), range,
      h("div", { className: "bar" }, hold, undo, redo, keep, h("span", { className: "grow" }),
        labeled("dice", "New", dice, { title: "Another seed (D)" }))),
    section("origin", "Source",
      h("div", { className: "source" },
        h("label", {}, h("span", {}, "Seed"), seed),
        h("label", { className: "wide" }, h("span", {}, "Truncation ", psiValue), psi),
        h("label", {}, h("span", {}, "Mix with"), mixSeed),
        h("label", { className: "wide" }, h("span", {}, "How much"), mixPart),
        labeled("photo", "Photo or picture …", () => file.click()), file)),
    section("history", "History", h("h2", {}, "History"), history));
  const right = h("div", { className: "right" },
    section("directions", "Directions",
      h("div", { className: "bar" }, h("h2", {}, "Directions"), h("span", { className: "grow" }), search, sort, reset),
      list, more),
    layersBox, scoresBox, shelfBox,
    section("export", "Export", h("h2", {}, "Export"),
      h("div", { className: "bar wrap" },
        labeled("save", "Picture", () => act("export", { what: "png" }), { title: "PNG that carries its state: drop it here to restore it" }),
        labeled("sheet", "Sheet", () => act("export", { what: "sheet" })),
        labeled("bank", "Bank", () => act("export", { what: "bank" }), { title: "Bank of the directions that are moved" }),
        labeled("code", "Code", () => act("export", { what: "code" }), { title: "Two lines that make this very image" }),
        labeled("code", "Cell", () => act("export", { what: "cell" }), { title: "A notebook cell" }),
        labeled("film", "Sweep", () => act("export", { what: "sweep", name: sweepOf.value || null })), sweepOf),
      code));
  const teach = teachPanel({ wish: (more, payload) => act("teach", more, payload), say: (text) => say(text) });
  const explore = h("div", { className: "columns", role: "tabpanel", "aria-label": "Explore" }, left, right);
  const tabs = { explore, teach: teach.node };
  const open = (name) => {
    view.tab = name;
    for (const [other, panel] of Object.entries(tabs)) panel.hidden = other !== name;
    for (const node of tabList.children) {
      node.setAttribute("aria-selected", node.dataset.tab === name);
      node.tabIndex = node.dataset.tab === name ? 0 : -1;
    }
    if (name === "teach") teach.open();
    else draw();
  };
  const tabList = h("div", {
    className: "tabs", role: "tablist", "aria-label": "What to do",
    onkeydown: (event) => {
      if (!/^Arrow(Left|Right)$/.test(event.key)) return;
      open(view.tab === "teach" ? "explore" : "teach");
      tabList.querySelector("[aria-selected=true]").focus();
    },
  }, ...[["explore", "Explore"], ["teach", "Teach"]].map(([name, label]) => h("button", {
    type: "button", role: "tab", "data-tab": name, "aria-selected": String(name === "explore"),
    tabIndex: name === "explore" ? 0 : -1, onclick: () => open(name),
  }, label)));
  const app = h("div", { className: "latdir-explorer" },
    h("header", {}, title, facts, h("span", { className: "grow" }), tabList,
      h("button", { type: "button", "aria-label": "Keys", title: "Keys (?)", onclick: () => { help.hidden = !help.hidden; } }, "?")),
    help, banner, notice, explore, teach.node);
  root.replaceChildren(app);

  // ---- the picture

  const draw = () => {
    const shown = view.holding && view.base ? view.base : view.picture;
    if (!shown) return;
    const box = canvas.getBoundingClientRect();
    const ratio = Math.max(1, window.devicePixelRatio || 1);
    const [width, height] = [box.width * ratio, box.height * ratio].map(Math.round);
    if (width && (canvas.width !== width || canvas.height !== height)) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.globalCompositeOperation = "copy";
    context.drawImage(shown, 0, 0, canvas.width, canvas.height);
  };
  const paint = async (kind, bytes, id) => {
    const picture = await decoded(kind, bytes);
    if (id < view.painted) return;
    view.painted = id;
    view.picture = picture;
    draw();
    canvas.dataset.painted = id;
  };
  const original = (wanted) => {
    if (wanted === view.holding) return;
    view.holding = wanted;
    hold.setAttribute("aria-pressed", wanted);
    if (wanted && !view.base) ask("base");
    draw();
  };
  const sized = new ResizeObserver(draw);
  sized.observe(canvas);

  // ---- sliders

  const amountOf = (name) => view.state.amounts[name] ?? view.state.held[name] ?? 0;
  const scaleOf = (slider) => (view.unit[slider.name] && slider.per_sigma ? slider.per_sigma : 1);
  const zero = () => edit(Object.fromEntries(Object.keys(view.state.amounts).map((name) => [name, 0])));

  const makeRow = (slider) => {
    const { name, low, high, band } = slider;
    const at = (amount) => `${(100 * (amount - low)) / (high - low)}%`;
    const track = h("input", {
      type: "range", min: low, max: high, step: 0.05, "aria-label": name,
      oninput: () => edit({ [name]: Number(track.value) }),
      ondblclick: () => edit({ [name]: 0 }),
    });
    track.style.setProperty("--low", at(band ? band[0] : low));
    track.style.setProperty("--high", at(band ? band[1] : low));
    track.style.setProperty("--zero", at(0));
    const number = h("input", {
      type: "number", step: 0.1, "aria-label": `${name}, amount`,
      onchange: () => {
        const wanted = Number(number.value) / scaleOf(slider);
        edit({ [name]: Math.min(high, Math.max(low, Math.round(wanted * 1000) / 1000)) });
      },
    });
    const unit = h("button", {
      type: "button", className: "unit", disabled: !slider.per_sigma,
      "aria-label": `Unit of ${name}`, title: slider.per_sigma ? `sigma or ${slider.attribute}` : "not calibrated",
      onclick: () => { view.unit[name] = !view.unit[name]; showAmounts(); },
    });
    const attribute = view.attributes.some((a) => a.name === slider.attribute) ? slider.attribute
      : view.attributes.some((a) => a.name === name) ? name : null;
    const lock = attribute ? lockOf(attribute) : h("span", {});
    const node = h("div", { className: "slider" },
      h("span", { className: "name", title: slider.remark || name }, name), track, number, unit, lock);
    return { node, track, number, unit, slider, at };
  };
  const lockOf = (attribute) => {
    const made = button("open", `Lock ${attribute}`, () => {
      const locked = new Set(view.state?.locks ?? []);
      if (!locked.delete(attribute)) locked.add(attribute);
      act("lock", { names: [...locked] });
    }, { className: "lock" });
    made.dataset.attribute = attribute;
    return made;
  };
  const showLocks = () => {
    const locked = new Set(view.state?.locks ?? []);
    for (const node of app.querySelectorAll("button.lock")) {
      const on = locked.has(node.dataset.attribute);
      if (node.getAttribute("aria-pressed") === String(on)) continue;
      node.setAttribute("aria-pressed", on);
      node.replaceChildren(icon(on ? "lock" : "open"));
    }
  };
  const drawList = () => {
    const found = view.listed.map((name) => view.sliders.get(name));
    if (view.sort === "name") found.sort((a, b) => a.name.localeCompare(b.name));
    if (view.sort === "effect") found.sort((a, b) => (view.strengths[b.name] ?? 0) - (view.strengths[a.name] ?? 0));
    for (const slider of found) if (!rows.has(slider.name)) rows.set(slider.name, makeRow(slider));
    list.replaceChildren(...found.map((slider) => rows.get(slider.name).node));
    more.textContent = view.total > view.listed.length && !search.value
      ? `${view.total.toLocaleString()} directions, of which ${view.listed.length} are listed: search for others.` : "";
    showAmounts();
    showLocks();
  };
  const showAmounts = () => {
    const outside = [];
    for (const name of Object.keys({ ...view.state.held, ...view.state.amounts })) {
      const band = view.sliders.get(name)?.band;
      const amount = amountOf(name);
      if (band && (amount < band[0] - 1e-9 || amount > band[1] + 1e-9)) outside.push(name);
    }
    for (const name of view.listed) {
      const row = rows.get(name);
      if (!row) continue;
      const amount = amountOf(name);
      const scale = scaleOf(row.slider);
      const held = !(name in view.state.amounts) && name in view.state.held;
      if (Number(row.track.value) !== amount) row.track.value = amount;
      row.track.style.setProperty("--at", row.at(Math.min(row.slider.high, Math.max(row.slider.low, amount))));
      row.track.setAttribute("aria-valuetext", `${plain(amount)} sigma${held ? ", held" : ""}`);
      row.node.classList.toggle("held", held);
      row.node.classList.toggle("moved", Boolean(amount));
      row.node.classList.toggle("outside", outside.includes(name));
      row.unit.textContent = view.unit[name] ? (SIGNS[row.slider.unit]?.trim() || row.slider.unit) : "σ";
      const shown = String(Number((amount * scale).toFixed(Math.abs(scale) >= 5 ? 1 : 3)));
      if (document.activeElement !== row.number && row.number.value !== shown) row.number.value = shown;
    }
    canvas.classList.toggle("outside", outside.length > 0);
    range.textContent = outside.length ? `Beyond the linear range of ${outside.join(", ")}` : "";
    reset.disabled = !Object.keys(view.state.amounts).length;
    drawSweeps();
  };
  const drawSweeps = () => {
    const moved = Object.keys(view.state.amounts);
    const chosen = sweepOf.value;
    const names = ["", ...new Set([...moved, ...view.listed.slice(0, 40)])];
    if (sweepOf.dataset.names === names.join("\n")) return;
    sweepOf.dataset.names = names.join("\n");
    sweepOf.replaceChildren(...names.map((name) => h("option", { value: name }, name || "whole edit")));
    if (names.includes(chosen)) sweepOf.value = chosen;
  };
  let searching;
  const searched = () => {
    clearTimeout(searching);
    searching = setTimeout(() => ask("search", { text: search.value }), 120);
  };

  // ---- source, layers, scores, steps, shelf

  const showSource = () => {
    const { seed: number, truncation, mix: mixed, photo } = view.state;
    if (document.activeElement !== seed) seed.value = number;
    seed.classList.toggle("unused", Boolean(photo));
    psi.value = truncation;
    psiValue.textContent = truncation.toFixed(2);
    if (document.activeElement !== mixSeed && mixed) mixSeed.value = mixed.seed;
    mixPart.value = mixed ? mixed.fraction : 0;
  };
  const showLayers = () => {
    layersBox.hidden = !view.layers;
    if (!view.layers) return;
    const last = view.layers - 1;
    const presets = [["All", null], ["Coarse", [0, Math.min(3, last)]], ["Middle", [4, 7]], ["Fine", [8, last]]]
      .filter(([, part]) => !part || (part[0] <= last && part[1] <= last));
    const { layers: part, channels } = view.state;
    const ends = part ?? [0, last];
    const choose = (range) => act("layers", { range, channels });
    const end = (which, label) => h("input", {
      type: "number", min: 0, max: last, value: ends[which], "aria-label": label,
      onchange: (event) => {
        const given = [...ends];
        given[which] = Math.min(last, Math.max(0, Math.round(Number(event.target.value))));
        choose([Math.min(...given), Math.max(...given)]);
      },
    });
    const strongest = h("input", {
      type: "number", min: 1, max: view.channels, value: channels ?? "", placeholder: "all",
      "aria-label": "Strongest channels", title: "Of each direction, only so many of the style channels it moves most",
      onchange: (event) => {
        const count = Math.round(Number(event.target.value));
        act("layers", { range: part, channels: count > 0 ? Math.min(count, view.channels) : null });
      },
    });
    layers.replaceChildren(
      ...presets.map(([label, range]) => h("button", {
        type: "button", "aria-pressed": String(JSON.stringify(range) === JSON.stringify(part)), onclick: () => choose(range),
      }, label)),
      h("span", { className: "ends" }, end(0, "First layer"), "–", end(1, "Last layer")),
      ...(view.channels ? [h("label", {}, "Strongest channels", strongest)] : []));
  };
  const showScores = () => {
    scoresBox.hidden = !view.attributes.length;
    if (!scores.children.length) {
      scores.append(...view.attributes.map(({ name, unit }) => {
        const node = h("div", { className: "score" }, lockOf(name), h("span", { className: "name" }, name.replaceAll("_", " ")),
          h("span", { className: "value" }, "–"), h("span", { className: "change" }));
        node.dataset.name = name;
        node.dataset.unit = unit;
        return node;
      }));
    }
    for (const node of scores.children) {
      const found = view.scores.get(node.dataset.name);
      if (!found) continue;
      node.children[2].textContent = short(found.value) + suffix(node.dataset.unit === "ratio" ? "" : node.dataset.unit);
      const moved = Math.abs(found.change) >= 0.0005;
      node.children[3].textContent = moved ? signed(found.change) : "";
      node.children[3].className = `change ${found.change > 0 ? "up" : "down"}`;
    }
    showLocks();
  };
  const thumb = (step, label, onclick) => h("button", { type: "button", className: "thumb", "aria-label": label, title: label, onclick },
    h("img", { src: step.picture, alt: "" }));
  const describe = (moved) => Object.entries(moved).map(([name, amount]) => `${name} ${plain(amount)}`).join(", ") || "unedited";
  const showSteps = () => {
    const place = view.steps.findIndex((step) => step.number === view.at);
    history.replaceChildren(...view.steps.map((step, i) => {
      const node = thumb(step, `Step ${i + 1}: ${describe(step.moved)}`, () => act("go", { number: step.number }));
      if (i === place) node.setAttribute("aria-current", "step");
      return node;
    }));
    history.children[place]?.scrollIntoView({ block: "nearest", inline: "nearest" });
    undo.disabled = place <= 0;
    redo.disabled = place < 0 || place >= view.steps.length - 1;
  };
  const step = (number, kind, bytes) => {
    const moved = { ...view.state.held, ...view.state.amounts };
    const known = view.steps.find((one) => one.number === number);
    const picture = URL.createObjectURL(new Blob([bytes], { type: kind }));
    if (known) Object.assign(known, { moved, picture });
    else {
      const place = view.steps.findIndex((one) => one.number === view.at);
      view.steps = [...view.steps.slice(0, place + 1), { number, moved, picture }];
    }
    view.at = number;
    showSteps();
  };
  const showShelf = () => {
    shelfBox.hidden = !view.shelf.size;
    shelf.replaceChildren(...[...view.shelf.values()].map((kept) => h("div", { className: "kept" },
      thumb(kept, `Show: ${describe(kept.moved)}`, () => act("again", { number: kept.number })),
      h("input", {
        type: "checkbox", "aria-label": `Compare: ${describe(kept.moved)}`, checked: view.compared.includes(kept.number),
        onchange: (event) => {
          view.compared = view.compared.filter((n) => n !== kept.number);
          if (event.target.checked) view.compared = [...view.compared, kept.number].slice(-2);
          showShelf();
        },
      }),
      button("close", "Take off the shelf", () => act("remove", { number: kept.number })))));
    const pair = view.compared.map((number) => view.shelf.get(number)).filter(Boolean);
    comparison.hidden = pair.length !== 2;
    if (pair.length !== 2) return;
    const [a, b] = pair.map((kept) => kept.moved);
    const differ = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => (a[name] ?? 0) !== (b[name] ?? 0));
    comparison.replaceChildren(...pair.map((kept) => h("img", { src: kept.picture, alt: describe(kept.moved) })),
      h("table", {}, ...differ.map((name) => h("tr", {}, h("th", { scope: "row" }, name),
        h("td", {}, plain(a[name] ?? 0)), h("td", {}, plain(b[name] ?? 0))))));
  };

  // ---- what is told

  const say = (text, error = false) => {
    notice.textContent = text;
    notice.classList.toggle("error", error);
  };
  const save = (name, kind, bytes) => {
    const link = h("a", { href: URL.createObjectURL(new Blob([bytes], { type: kind })), download: name });
    link.click();
    say(`Saved ${name}`);
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const copy = (text) => {
    code.hidden = false;
    code.value = text;
    code.rows = text.trim().split("\n").length + 1;
    navigator.clipboard?.writeText(text).then(() => say("Copied"), () => { code.focus(); code.select(); });
  };
  const told = {
    open(message, bytes) {
      const unsent = view.wishes;
      Object.assign(view, {
        state: message.state, total: message.total, attributes: message.attributes, steps: message.steps,
        at: message.step, shelf: new Map(message.shelf.map((kept) => [kept.number, kept])),
        waiting: null, painted: 0, base: null, layers: message.layers, channels: message.channels,
      });
      rows.clear();
      scores.replaceChildren();
      view.sliders = new Map(message.sliders.map((slider) => [slider.name, slider]));
      view.listed = message.sliders.map((slider) => slider.name);
      title.textContent = message.generator.split("/").pop();
      facts.textContent = `${message.total.toLocaleString()} direction${message.total === 1 ? "" : "s"}, ${message.size.join(" × ")}`;
      canvas.style.aspectRatio = message.size.join(" / ");
      search.hidden = message.total <= SEARCH_FROM;
      sort.querySelector("[value=effect]").disabled = !message.attributes.length;
      app.classList.add("ready");
      this.picture(message, bytes);
      drawList();
      showScores();
      showSteps();
      showShelf();
      view.wishes = unsent;
      ask("teach", { do: "show" });
      pump();
    },
    bank(message, bytes) {
      rows.delete(message.added);
      view.total = message.total;
      view.sliders = new Map(message.sliders.map((slider) => [slider.name, slider]));
      view.listed = message.sliders.map((slider) => slider.name);
      search.hidden = message.total <= SEARCH_FROM;
      drawList();
      this.picture(message, bytes);
      say(`${message.added} is a slider of the bank now`);
    },
    ...teach.told,
    picture(message, bytes) {
      const pending = view.wishes.edit ?? {};
      view.state = { ...view.state, ...message.state };
      if (pending.amounts) view.state.amounts = pending.amounts;
      // No bytes: the picture is the one that is shown already.
      if (bytes.length) view.shown = [message.kind, bytes];
      if (message.step !== null && message.verb === "picture") step(message.step, ...view.shown);
      if (["seed", "mix", "photo", "truncation"].some((name) => name in message.state)) view.base = null;
      if (bytes.length) paint(message.kind, bytes, message.id ?? view.sent);
      say(message.notice);
      showAmounts();
      showSource();
      if ("layers" in message.state || "channels" in message.state) showLayers();
      if ("locks" in message.state) showLocks();
    },
    async base(message, bytes) {
      view.base = await decoded(message.kind, bytes);
      draw();
    },
    scores(message) {
      view.scores = new Map(message.scores.map((score) => [score.name, score]));
      if (message.notice) say(message.notice);
      showScores();
    },
    sliders(message) {
      for (const slider of message.sliders) view.sliders.set(slider.name, slider);
      view.listed = message.sliders.map((slider) => slider.name);
      drawList();
    },
    strengths(message) {
      view.strengths = message.strengths;
      say(message.left ? `Measuring effects: ${message.left} directions left` : "");
      if (view.sort === "effect") drawList();
    },
    kept(message) { view.shelf.set(message.step.number, message.step); say("Kept on the shelf"); showShelf(); },
    removed(message) { view.shelf.delete(message.number); showShelf(); },
    working(message) { say(message.text); },
    file(message, bytes) { message.text ? copy(message.text) : save(message.name, message.kind, bytes); },
    error(message) { teach.told.error(); say(message.text, true); },
  };
  link.onmessage = (message, bytes) => {
    if (message.id === view.waiting) view.waiting = null;
    told[message.verb]?.(message, bytes);
    pump();
  };
  link.onstatus = (text, action) => {
    banner.hidden = !text;
    banner.replaceChildren(text ?? "", ...(action ? [h("button", { type: "button", onclick: action.run }, action.label)] : []));
    app.classList.toggle("offline", Boolean(text));
  };
  link.onopen = () => {
    view.waiting = null;
    ask("open", { state: view.state });
  };

  // ---- keys and dropped files

  const drop = async (given) => {
    if (given) act("drop", {}, await given.arrayBuffer());
  };
  const typing = (target) => /^(TEXTAREA|SELECT)$/.test(target.tagName)
    || (target.tagName === "INPUT" && /^(number|search|text)$/.test(target.type));
  const keys = {
    b: () => original(true), d: dice, k: () => act("keep"), 0: zero,
    "/": () => { search.hidden = false; search.focus(); },
    "?": () => { help.hidden = !help.hidden; },
  };
  const pressed = (event) => {
    if (!view.state || event.altKey) return;
    const key = event.key.toLowerCase();
    if (view.tab === "teach") {
      if (!typing(event.target) && !event.ctrlKey && !event.metaKey && teach.pressed(event)) event.preventDefault();
      return;
    }
    if (key === "z" && !typing(event.target)) act("move", { by: event.shiftKey ? 1 : -1 });
    else if (typing(event.target) || event.ctrlKey || event.metaKey || !keys[key]) return;
    else if (!event.repeat || key !== "d") keys[key]();
    event.preventDefault();
  };
  const released = (event) => { if (event.key.toLowerCase() === "b") original(false); };
  keyTarget.addEventListener("keydown", pressed);
  keyTarget.addEventListener("keyup", released);
  app.addEventListener("dragover", (event) => { event.preventDefault(); app.classList.add("dropping"); });
  app.addEventListener("dragleave", () => app.classList.remove("dropping"));
  app.addEventListener("drop", (event) => {
    event.preventDefault();
    app.classList.remove("dropping");
    drop(event.dataTransfer.files[0]);
  });

  return () => {
    sized.disconnect();
    keyTarget.removeEventListener("keydown", pressed);
    keyTarget.removeEventListener("keyup", released);
  };
}

/** The page: a session behind a websocket, connected again when the connection is lost. */
export function openPage(root) {
  const tab = sessionStorage.tab ??= Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
  let socket = null;
  let wait = 300;
  const link = {
    send(header, payload) {
      if (socket?.readyState !== WebSocket.OPEN) return;
      const text = new TextEncoder().encode(JSON.stringify(header));
      const frame = new Uint8Array(4 + text.length + (payload?.byteLength ?? 0));
      new DataView(frame.buffer).setUint32(0, text.length, true);
      frame.set(text, 4);
      if (payload) frame.set(new Uint8Array(payload), 4 + text.length);
      socket.send(frame);
    },
  };
  mount(root, link, window);
  const connect = () => {
    const address = new URL(`/socket?tab=${tab}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { wait = 300; link.onstatus(null); link.onopen(); };
    socket.onmessage = ({ data }) => {
      const end = 4 + new DataView(data).getUint32(0, true);
      link.onmessage(JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, end - 4))), new Uint8Array(data, end));
    };
    socket.onclose = ({ code }) => {
      if (code === 4409) {
        link.onstatus("This explorer was opened in another tab. ", { label: "Use it here", run: connect });
        return;
      }
      link.onstatus("The connection is lost; nothing is. Trying again …");
      setTimeout(connect, wait);
      wait = Math.min(4000, wait * 1.6);
    };
  };
  connect();
}

/** The notebook, by anywidget: the same over the kernel's own channel. */
export default {
  render({ model, el }) {
    const link = {
      send: (header, payload) => model.send(header, undefined, payload ? [payload] : []),
    };
    el.classList.add("latdir-notebook");
    const close = mount(el, link);
    const receive = (message, buffers) => {
      const [data] = buffers ?? [];
      link.onmessage(message, data ? new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength) : new Uint8Array());
    };
    model.on("msg:custom", receive);
    link.onopen();
    return () => { model.off("msg:custom", receive); close(); };
  },
};
