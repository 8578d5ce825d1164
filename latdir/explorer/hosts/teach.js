
// ---- the second tab: a direction from answers

const LEVELS = ["much less", "less", "the same", "more", "much more"];

/** The panel of a lesson. `wish` sends one of its steps; `added` is told the name of a new slider. */
function teachPanel({ wish, say }) {
  const view = { asked: null, chosen: new Set(), known: null, looked: 1, busy: false, at: 0 };

  const name = h("input", {
    type: "text", placeholder: "glasses, looks tired, …", "aria-label": "Attribute to teach", maxLength: 80,
    onkeydown: (event) => { if (event.key === "Enter") begin(); },
  });
  const begin = (given = name.value) => wish({ do: "start", name: given });
  const file = h("input", {
    type: "file", accept: ".json,application/json", hidden: true, "aria-label": "File of answers",
    onchange: async () => {
      const bytes = await file.files[0].arrayBuffer();
      file.value = "";
      wish({ do: "start" }, bytes);
    },
  });
  // Focused, so that keys answer; JupyterLab would take digits for headings.
  const text = h("h2", { tabIndex: -1, "data-lm-suppress-shortcuts": "true" });
  const tiles = h("div", { className: "tiles", role: "group", "aria-label": "Images" });
  const replies = h("div", { className: "bar wrap replies" });
  const asked = h("section", { className: "question", "aria-label": "Question", hidden: true }, text, tiles, replies);
  const others = h("div", { className: "bar wrap others", role: "group", "aria-label": "Lessons to go on with", hidden: true });
  const intro = h("p", { className: "faint intro" },
    "Click through sheets of images and compare strips of moved ones: about 40 clicks make a useful direction.");
  const start = h("section", { className: "begin", "aria-label": "What to teach" },
    h("h2", {}, "Teach a direction", h("span", { className: "faint" }, "an attribute that no classifier knows, by looking")),
    h("div", { className: "bar wrap" }, name, h("button", { type: "button", onclick: () => begin() }, "Start"),
      labeled("photo", "Open answers …", () => file.click()), file), others, intro);

  const angle = h("p", { className: "angle" });
  const meter = h("meter", { min: 0, max: 90, low: 35, high: 60, optimum: 0, value: 90, "aria-label": "Expected angle, in degrees" });
  const more = h("p", { className: "faint" });
  const counts = h("p", { className: "faint counts" });
  const preview = h("img", { className: "preview", alt: "The direction so far: less above, more below", hidden: true });
  const looking = h("p", { className: "faint", hidden: true });
  const tool = (icon, label, what, title) => labeled(icon, label, () => wish({ do: what }), { title });
  const undo = tool("undo", "Undo", "undo", "Take the last answer back (Z)");
  const check = tool("eye", "Check", "check", "See twelve images that should have it");
  const add = tool("bank", "Add to the bank", "add", "As a slider of the first tab; again to replace it");
  const bank = tool("save", "Direction", "bank", "Save it as a bank of one direction");
  const save = tool("save", "Answers", "save", "Save the answers as a file");
  const known = h("section", { className: "known", "aria-label": "What is known", hidden: true },
    h("h2", {}, "What is known"), angle, meter, more, counts, looking, preview,
    h("div", { className: "bar wrap" }, undo, check, add, bank, save));

  // ---- answering

  const answer = (given) => {
    if (view.busy || !view.asked) return;
    view.busy = true;
    wish({ do: "answer", question: view.asked.name, ...given });
  };
  const submit = () => answer({ clicked: [...view.chosen] });
  const toggle = (k) => {
    if (!view.chosen.delete(k)) view.chosen.add(k);
    tiles.children[k].setAttribute("aria-pressed", view.chosen.has(k));
    showDone();
  };
  const done = h("button", { type: "button", className: "done", onclick: submit });
  const showDone = () => {
    const count = view.chosen.size;
    done.textContent = view.asked.kind === "check"
      ? (count ? `${count} wrong of ${view.asked.count}` : `All ${view.asked.count} are right`)
      : `Done: ${count || "none"} of ${view.asked.count}`;
  };
  const focusTile = (k) => {
    const count = tiles.children.length;
    view.at = Math.min(count - 1, Math.max(0, k));
    [...tiles.children].forEach((tile, i) => { tile.tabIndex = i === view.at ? 0 : -1; });
    tiles.children[view.at].focus({ preventScroll: k === 0 });
  };
  tiles.addEventListener("keydown", (event) => {
    const columns = view.asked?.columns ?? 1;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    if (event.key === "Enter" && view.asked.kind !== "strip") submit();
    else if (by === undefined) return;
    else focusTile(view.at + by);
    event.preventDefault();
    event.stopPropagation();
  });

  const show = (kind, bytes, chosen) => {
    const { asked: question } = view;
    const strip = question.kind === "strip";
    const address = URL.createObjectURL(new Blob([bytes], { type: kind }));
    URL.revokeObjectURL(view.address);
    view.address = address;
    view.chosen = new Set(chosen);
    view.at = 0;
    const rows = question.count / question.columns;
    const place = (tile, k) => {
      const [x, y] = [k % question.columns, Math.floor(k / question.columns)];
      tile.style.backgroundImage = `url(${address})`;
      tile.style.backgroundSize = `${question.columns * 100}% ${rows * 100}%`;
      tile.style.backgroundPosition = `${(100 * x) / Math.max(1, question.columns - 1)}% ${(100 * y) / Math.max(1, rows - 1)}%`;
      return tile;
    };
    const one = (k) => (strip
      ? h("div", { className: "tile", role: "img", "aria-label": `${k < question.columns ? "Upper" : "Lower"} row, image ${(k % question.columns) + 1}` })
      : h("button", {
        type: "button", className: "tile", "aria-pressed": String(view.chosen.has(k)), tabIndex: k ? -1 : 0,
        "aria-label": `Image ${k + 1}`, onclick: () => { view.at = k; toggle(k); },
      }));
    tiles.className = `tiles ${question.kind}`;
    tiles.style.setProperty("--columns", question.columns);
    tiles.replaceChildren(...Array.from({ length: question.count }, (_, k) => place(one(k), k)));
    replies.classList.toggle("levels", strip);
    replies.replaceChildren(...(strip
      ? LEVELS.map((level, k) => h("button", { type: "button", title: `Key ${k + 1}`, onclick: () => answer({ level: k - 2 }) }, level))
      : [done, h("span", { className: "faint" }, "arrow keys, space, Enter")]));
    if (!strip) showDone();
  };

  const showKnown = () => {
    const found = view.known;
    const sure = found && found.angle < 89.9;
    angle.textContent = sure ? `About ${Math.round(found.angle)}° from the direction that unlimited answers would give` : "Nothing is known yet";
    meter.hidden = !sure;
    meter.value = sure ? found.angle : 90;
    more.textContent = sure
      ? `Within ${Math.round(found.cone)}° with 95 %. 20 strips more: about ${Math.round(found.strips)}°; a sheet more: about ${Math.round(found.sheet)}°.`
      : (found?.text ?? "");
    for (const node of [check, add, bank]) node.disabled = !sure;
    looking.hidden = view.looked >= 1;
    looking.textContent = `Looking at images of the generator once: ${Math.round(100 * view.looked)} %`;
  };

  /** What can be gone on with: answers are kept as they are given. */
  const showOthers = (kept, present) => {
    const names = kept.filter((other) => other !== present);
    others.hidden = !names.length;
    others.replaceChildren(h("span", { className: "faint" }, "Go on with"),
      ...names.map((other) => h("button", { type: "button", onclick: () => begin(other) }, other)));
  };

  const told = {
    question(message, bytes) {
      view.busy = false;
      const begun = message.question !== null;
      showOthers(message.kept, message.name);
      // A server that was started anew does not know the lesson, but has its answers.
      if (!begun && view.asked && message.kept.includes(view.name)) return begin(view.name);
      asked.hidden = known.hidden = !begun;
      intro.hidden = begun;
      if (!begun) return;
      const same = view.name === message.name && view.asked?.name === message.question.name;
      const chosen = same ? view.chosen : [];
      view.name = message.name;
      view.asked = message.question;
      if (message.ready) view.looked = 1;
      else if (view.looked >= 1) view.looked = 0;
      name.value = message.name;
      text.textContent = message.question.kind === "strip"
        ? `Beside the upper row, the lower row has ${message.name} …` : message.question.text;
      const checked = message.shown ? `; checked: ${message.right} of ${message.shown} have it` : "";
      const many = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
      counts.textContent = `${many(message.clicks, "click")}: ${many(message.strips, "strip")}, ${many(message.sheets, "sheet")}${checked}`;
      undo.disabled = !message.answers;
      save.disabled = !message.answers;
      show(message.kind, bytes, chosen);
      showKnown();
      say(message.notice);
      if (node.hidden) return;
      if (message.question.kind === "strip") text.focus({ preventScroll: true });
      else focusTile(0);
    },
    looked(message) { view.looked = message.fraction; showKnown(); },
    known(message, bytes) {
      view.known = message;
      preview.hidden = !bytes.length;
      URL.revokeObjectURL(preview.src);
      if (bytes.length) preview.src = URL.createObjectURL(new Blob([bytes], { type: message.kind }));
      showKnown();
    },
    error() { view.busy = false; },
  };
  const pressed = (event) => {
    const key = event.key.toLowerCase();
    if (key === "z" && view.asked) wish({ do: "undo" });
    else if (view.asked?.kind === "strip" && LEVELS[Number(key) - 1]) answer({ level: Number(key) - 3 });
    else return false;
    return true;
  };
  const node = h("div", { className: "columns teach", role: "tabpanel", "aria-label": "Teach", hidden: true },
    h("div", { className: "left" }, start, asked), h("div", { className: "right" }, known));
  return { node, told, pressed, open: () => (view.asked ? text : name).focus({ preventScroll: true }) };
}
