// State → page, and back.

let current = readState();

const VIEWS = {
  features: { title: "Features", count: data.features.length, draw: drawGrid, grid: true },
  causes: { title: "Causes", count: data.causes.length, draw: drawCauses },
  throughput: { title: "Throughput", count: data.workloads.length, draw: drawThroughput },
  suites: { title: "Your suites", count: data.suites.length, draw: drawSuites },
  untested: { title: "Not tested", count: data.untested.length, draw: drawUntested },
  executions: { title: "Executions", count: data.columns.length, draw: drawColumns },
};
const viewOf = (state) => (isGrid(state) ? "features" : state.view);

function change(changes, focus) {
  const before = current;
  current = { ...current, ...changes };
  if (fragmentOf(before) === fragmentOf(current)) return;
  history.replaceState(null, "", fragmentOf(current));
  const wide = document.getElementById("view").clientWidth;
  drawPanel(current, focus || Boolean(changes.at));
  // a panel takes room from the grid, and the grid shows what it is about
  if (Object.keys(changes).some((key) => key !== "at") || viewOf(current) === "features") redraw();
  if (changes.at && document.getElementById("view").clientWidth !== wide) goTo(current.at);
}

function redraw() {
  const started = performance.now();
  const name = viewOf(current);
  const view = document.getElementById("view");
  const columns = visibleColumns(current);
  const at = windowOf(view);
  const found = VIEWS[name].draw(view, current, columns, view.dataset.name === name ? at : { ...at, top: 0, left: 0 });
  if (view.dataset.name !== name) view.scrollTo(0, 0);
  view.dataset.name = name;
  view.setAttribute("aria-label", VIEWS[name].title);
  view.tabIndex = VIEWS[name].grid ? -1 : 0;
  drawFilters(name);
  drawLegend(name, columns);
  drawStatus(name, columns, found);
  for (const tab of document.querySelectorAll("[role='tab']")) {
    tab.setAttribute("aria-selected", String(tab.dataset.view === name));
    tab.tabIndex = tab.dataset.view === name ? 0 : -1;
  }
  document.documentElement.dataset.drawn = (performance.now() - started).toFixed(1);
}

function drawStatus(name, columns, found) {
  const parts = [];
  if (name === "features") {
    const { shared } = tokensOf(columns);
    parts.push(`${found.shown} of ${data.features.length} features in ${columns.length} of ${data.columns.length} executions`);
    if (shared.length) parts.push(`all ${shared.join(" ")}`);
    if (found.unrun && !current.unrun) parts.push(`${found.unrun} that never ran in these are not on view`);
    const idle = chosenColumns(current).length - columns.length;
    if (idle) parts.push(`${idle} without features are not on view`);
  } else if (name !== "untested") parts.push(`${columns.length} of ${data.columns.length} executions`);
  const apart = data.columns.length - data.columns.filter((one) => !one.companions.length).length;
  if (apart && !current.companion && companionsOf(current) === "none") parts.push(`${apart} with companions are not on view`);
  document.getElementById("status").textContent = parts.join(" · ");
}

function drawLegend(name, columns) {
  const legend = document.getElementById("legend");
  if (name !== "features") return legend.replaceChildren();
  const counts = new Array(data.marks.length).fill(0);
  const text = current.feature.toLowerCase();
  for (const feature of data.features) {
    if (text && !`${feature.group} ${feature.id} ${feature.title}`.toLowerCase().includes(text)) continue;
    for (const column of columns) counts[feature.cells[column]] += 1;
  }
  const wanted = several(current.verdict);
  const order = data.marks.map((_, place) => place).sort((a, b) => data.marks[a].rank - data.marks[b].rank);
  const chips = order.filter((place) => counts[place] || wanted.includes(data.marks[place].verdict)).map((place) => {
    const { verdict, look, symbol: sign, word } = data.marks[place];
    const on = wanted.includes(verdict);
    const next = on ? wanted.filter((other) => other !== verdict) : [...wanted, verdict];
    return el("button", { type: "button", class: `chip v v-${look}`, "aria-pressed": String(on), "data-verdict": verdict, onclick: () => {
      change({ verdict: next.join(",") });
      legend.querySelector(`[data-verdict="${CSS.escape(verdict)}"]`)?.focus();
    } }, symbol(sign), ` ${word} ${counts[place]}`);
  });
  legend.replaceChildren(...chips);
}

function choice(key, label, options) {
  const wanted = current[key];
  const known = options.some(([value]) => value === wanted);
  const all = known || !wanted ? options : [...options, [wanted, wanted]];
  return el("label", {}, label, el("select", { name: key, onchange: (event) => change({ [key]: event.target.value }) },
    all.map(([value, text]) => el("option", { value, selected: value === wanted }, text))));
}

const check = (key, label) => el("label", { class: "check" },
  el("input", { type: "checkbox", name: key, checked: Boolean(current[key]), onchange: (event) => change({ [key]: event.target.checked ? "1" : "" }) }), label);

let drawnFor = null;
function drawFilters(name) {
  const form = document.getElementById("filters");
  if (drawnFor === name) return fillFilters(form);
  drawnFor = name;
  const distinct = (values) => [...new Set(values)].filter(Boolean);
  const parts = [el("label", {}, name === "features" ? "Feature" : "Search", el("input", {
    type: "search", name: "feature", value: current.feature, placeholder: "fp8, attention …", oninput: (event) => change({ feature: event.target.value }),
  }))];
  const all = name === "untested" ? [...data.columns, ...data.untested] : data.columns;
  for (const [key, label] of Object.entries(AXES)) {
    const values = distinct(key === "torch" ? all.flatMap((one) => [one.torch.split(".").slice(0, 2).join("."), one.torch]) : all.map((one) => one[key]));
    values.sort((a, b) => compareReleases(a, b) || a.localeCompare(b));
    if (distinct(all.map((one) => one[key])).length > 1) parts.push(choice(key, label, [["", "all"], ...values.map((value) => [value, value])]));
  }
  const companions = distinct(data.columns.flatMap((one) => one.companions.flatMap((part) => [part.split("==")[0], part]))).sort();
  if (companions.length) parts.push(choice("companion", "Companions", [...(companionsOf(current) === "none" ? [["", "none"], ["all", "any or none"]] : [["", "any or none"], ["none", "none"]]), ...companions.map((part) => [part, part.replace("==", " ")])]));
  if (name === "features") {
    parts.push(choice("sort", "Sort", [["", "by group"], ["trouble", "most trouble first"], ["name", "by name"]]));
    parts.push(check("differ", "only what differs"), check("unrun", "also what never ran"));
  }
  parts.push(el("button", { type: "button", onclick: () => {
    drawnFor = null;
    change({ ...Object.fromEntries(KEYS.map((key) => [key, ""])), view: current.view, at: current.at });
  } }, "Reset"));
  form.replaceChildren(...parts);
  form.onsubmit = (event) => event.preventDefault();
}

function fillFilters(form) {
  for (const field of form.elements) {
    if (!(field.name in current)) continue;
    if (field.type === "checkbox") field.checked = Boolean(current[field.name]);
    else if (document.activeElement !== field || field.tagName === "SELECT") {
      if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === current[field.name])) {
        field.append(el("option", { value: current[field.name] }, current[field.name].replace(/^column[+-]/, "by ")));
      }
      field.value = current[field.name];
    }
  }
}

function drawTabs() {
  const tabs = document.getElementById("tabs");
  const names = Object.keys(VIEWS).filter((name) => VIEWS[name].count || name === "features");
  tabs.replaceChildren(...names.map((name) => el("button", {
    type: "button", role: "tab", "data-view": name, "aria-controls": "view", onclick: () => change({ view: name === "features" ? "" : name }),
  }, `${VIEWS[name].title} ${VIEWS[name].count}`)));
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = tabs.children[(names.indexOf(viewOf(current)) + step + names.length) % names.length];
    next.click();
    next.focus();
  });
}

const THEMES = { "": "system", light: "light", dark: "dark" };
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = `Theme: ${THEMES[theme]}`;
  try {
    localStorage.setItem("torch-matrix-theme", theme);
  } catch { /* a page from disk may have no storage */ }
  if (viewOf(current) === "throughput" && document.querySelector("#view figure")) redraw();
}

// On a narrow screen counts and filters are folded away, unless a filter is set.
const isFiltered = () => KEYS.some((key) => key !== "view" && key !== "at" && current[key]);
function fold(folded) {
  document.documentElement.dataset.folded = String(folded);
  document.getElementById("more").setAttribute("aria-expanded", String(!folded));
}

function start() {
  let theme = "";
  try {
    theme = localStorage.getItem("torch-matrix-theme") || "";
  } catch { /* as above */ }
  drawTabs();
  setTheme(theme in THEMES ? theme : "");
  document.getElementById("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
  });
  fold(!isFiltered());
  document.getElementById("more").addEventListener("click", () => fold(document.documentElement.dataset.folded === "false"));
  const view = document.getElementById("view");
  view.addEventListener("click", (event) => { if (event.target.closest(".grid")) onGridClick(event); });
  view.addEventListener("keydown", (event) => { if (event.target.closest(".grid")) onGridKey(event); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && current.at) close();
    else if (event.key === "/" && !/INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName)) {
      event.preventDefault();
      fold(false);
      document.querySelector("#filters input[type='search']").focus();
    }
  });
  addEventListener("hashchange", () => {
    current = readState();
    if (isFiltered()) fold(false);
    drawPanel(current, false);
    redraw();
    goTo(current.at);
  });
  view.addEventListener("scroll", () => { if (VIEWS[viewOf(current)].grid && grid.table) requestAnimationFrame(() => fill(windowOf(view))); }, { passive: true });
  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(redraw);
  });
  drawPanel(current, false);
  redraw();
  goTo(current.at);
}

start();
