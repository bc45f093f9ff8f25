// The table of features. Only rows and columns near the window have cells, so that its size does not
// matter; every row has its name. One stop for the Tab key: the active cell is the grid's descendant.

const MINIMUM = { words: 4.3, marks: 1.9 }; // rem
const ROOMY = 4.8;
const MAXIMUM = { words: 6.5, marks: 4.3 };
const CELLS = data.marks.map((mark) => el("td", {
  role: "gridcell", class: `v v-${mark.look}`, "aria-label": mark.word, title: mark.word,
}));
const grid = { table: null, rows: [], names: new Map(), columns: [], closed: new Set(), active: ["h", 0] };

const remOf = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
const minorOf = (place) => data.columns[place].torch.split(".").slice(0, 2).join(".");

// Parts of a column's name that tell the columns on view apart, and those that all of them share.
function tokensOf(columns) {
  const all = columns.map((place) => data.columns[place].tokens);
  const differs = (all[0] || []).map((_, at) => at === 0 || all.some((tokens) => tokens[at] !== all[0][at]));
  const shared = (all[0] || []).filter((token, at) => token && !differs[at]);
  const own = (place) => data.columns[place].tokens.filter((token, at) => token && differs[at]);
  return { shared, of: (place) => (own(place).length ? own(place) : [data.columns[place].short]) };
}

// `at` is where the window stands: all sizes are read before anything is written.
function drawGrid(view, state, columns, at) {
  const { shown, unrun } = visibleFeatures(state, columns);
  if (!shown.length || !columns.length) {
    grid.table = null;
    view.replaceChildren(el("p", { class: "empty" }, "No feature ran that fits these filters."));
    return { shown: 0, unrun };
  }
  const [rem, style] = [remOf(), getComputedStyle(document.documentElement)];
  const [least, most] = ["--first", "--most"].map((name) => parseFloat(style.getPropertyValue(name)) * rem);
  const first = within(at.width - 2 - columns.length * ROOMY * rem, least, most); // what words leave
  const room = (at.width - first - 2) / columns.length / rem; // as wide as there is room
  const kind = room >= MINIMUM.words ? "words" : "marks";
  const width = Math.floor(Math.min(Math.max(room, MINIMUM[kind]), MAXIMUM[kind]) * rem);
  const tokens = tokensOf(columns);
  Object.assign(grid, {
    columns, state, width, first, tokens, words: kind === "words", fits: width / rem / 0.47,
    row: Math.round(1.8 * rem), wanted: wantedVerdicts(state), filled: new Set(),
    edges: columns.map((place, at) => at > 0 && minorOf(place) !== minorOf(columns[at - 1])),
  });
  grid.rows = rowsOf(shown, state);
  grid.head = el("tr", { role: "row", "aria-rowindex": "1" }, el("th", { role: "columnheader", scope: "col" }, "feature"));
  const longest = Math.max(4, ...columns.map((place) => tokens.of(place).join("  ").length));
  grid.table = el("table", {
    class: `grid ${kind}`, role: "grid", tabindex: "0", "aria-label": "Features by execution",
    "aria-colcount": columns.length + 1, "aria-rowcount": grid.rows.length + 1,
  }, el("thead", { role: "rowgroup" }, grid.head), el("tbody", { role: "rowgroup" }, grid.rows.map((row) => row.line)));
  const sizes = { "--first": `${first}px`, "--cell": `${width}px`, "--row": `${grid.row}px`, "--width": `${first + columns.length * width}px`, "--head": `${longest * 0.43 + 1}rem` };
  for (const [name, value] of Object.entries(sizes)) grid.table.style.setProperty(name, value);
  if (!rowAt(grid.active[0])) grid.active = [grid.rows[0].key, 0];
  fill(at);
  const focused = view.contains(document.activeElement);
  view.replaceChildren(grid.table);
  if (focused) grid.table.focus({ preventScroll: true });
  return { shown: shown.length, unrun };
}

// Lines with their names and without cells; groups only where nothing else is sorted by.
function rowsOf(shown, state) {
  const members = Map.groupBy ? Map.groupBy(shown, (place) => data.features[place].group) : null;
  const rows = [];
  let group = null;
  for (const place of shown) {
    const own = data.features[place].group;
    if (!state.sort && own !== group) {
      group = own;
      const places = members ? members.get(own) : shown.filter((other) => data.features[other].group === own);
      rows.push({ key: `g${own}`, group, places, line: groupLine(own, places.length) });
    }
    if (state.sort || !grid.closed.has(own)) rows.push({ key: `f${place}`, place, line: featureLine(place) });
  }
  rows.forEach((row, at) => row.line.setAttribute("aria-rowindex", at + 2));
  return rows;
}

function featureLine(place) {
  const { id, title } = data.features[place];
  if (!grid.names.has(place)) {
    grid.names.set(place, el("th", { role: "rowheader", scope: "row", title: title ? `${id}: ${title}` : id },
      el("span", { class: "mono" }, id), el("span", { class: "title" }, title)));
  }
  return el("tr", { role: "row", "data-row": `f${place}` }, grid.names.get(place));
}

function groupLine(group, count) {
  const closed = grid.closed.has(group);
  return el("tr", { role: "row", class: "group", "data-row": `g${group}` }, el(
    "th", { role: "rowheader", scope: "row", "aria-expanded": String(!closed), title: "fold or unfold" },
    `${closed ? "▸" : "▾"} ${group}`, el("span", { class: "title" }, count),
  ));
}

const rowAt = (key) => (key === "h" ? { key, line: grid.head } : grid.rows.find((row) => row.key === key));
const within = (value, low, high) => Math.max(low, Math.min(high, value));

// Give cells to the lines in the window, in steps of eight columns, and take them from the others.
function fill({ top, left, width, height }) {
  const begin = Math.floor(within(left / grid.width - 1, 0, grid.columns.length) / 8) * 8;
  const end = within(Math.ceil(((left + width - grid.first) / grid.width + 1) / 8) * 8, 0, grid.columns.length);
  const from = Math.max(0, Math.floor(top / grid.row) - 3);
  const near = grid.rows.slice(from, from + Math.ceil(height / grid.row) + 4);
  const window = `${begin}-${end}`;
  for (const row of [{ key: "h", line: grid.head }, ...near]) {
    if (row.line.dataset.window === window) continue;
    row.line.dataset.window = window;
    const cells = grid.columns.slice(begin, end).map((place, at) => finish(cellOf(row, place), begin + at));
    if (cells.length) cells[0].style.marginLeft = `${begin * grid.width}px`;
    row.line.replaceChildren(row.line.firstElementChild, ...cells);
    grid.filled.add(row);
  }
  for (const row of grid.filled) {
    if (row.key !== "h" && !near.includes(row)) {
      row.line.replaceChildren(row.line.firstElementChild);
      delete row.line.dataset.window;
      grid.filled.delete(row);
    }
  }
  markActive();
}

function windowOf(view) {
  return { top: view.scrollTop, left: view.scrollLeft, width: view.clientWidth, height: view.clientHeight };
}

function finish(cell, at) {
  cell.setAttribute("aria-colindex", at + 2);
  cell.dataset.at = at;
  if (grid.edges[at]) cell.classList.add("edge");
  return cell;
}

function cellOf(row, place) {
  if (row.key === "h") return headCell(place);
  if (row.places) return groupCell(row.places, place);
  const number = data.features[row.place].cells[place];
  const mark = data.marks[number];
  const cell = CELLS[number].cloneNode(false);
  cell.textContent = grid.words && mark.kind === "measured" ? `${mark.symbol} ${mark.short}` : mark.symbol;
  if (grid.wanted && !grid.wanted.has(number)) cell.classList.add("faint");
  if (grid.state.at === `${data.features[row.place].id}@@${data.columns[place].label}`) cell.classList.add("chosen");
  return cell;
}

function headCell(place) {
  const { label } = data.columns[place];
  const way = grid.state.sort.slice(7) === label ? grid.state.sort[6] : "";
  const sort = { "+": "ascending", "-": "descending" }[way] || "none";
  return el("th", { role: "columnheader", scope: "col", title: `${label}: sort by this column`, "aria-sort": sort },
    el("span", { class: "tokens" }, grid.tokens.of(place).map((token) => el("span", {}, token)),
      way ? el("span", { class: "sorted", "aria-hidden": "true" }, way === "+" ? "▲" : "▼") : null));
}

// How many of a group pass; its look is that of the loudest trouble in it.
function groupCell(places, column) {
  const found = places.map((place) => data.marks[data.features[place].cells[column]]);
  if (!found.some((mark) => mark.kind === "measured")) {
    return el("td", { role: "gridcell", "aria-label": "not measured", title: "not measured" }, "?");
  }
  const passed = found.filter((mark) => mark.verdict === "pass").length;
  const loudest = found.reduce((a, b) => (b.rank < a.rank ? b : a));
  const look = loudest.look === "wrong" ? "wrong" : loudest.trouble ? "fail" : passed === found.length ? "pass" : "";
  const share = `${passed}/${found.length}`;
  const told = `${passed} of ${found.length} pass`;
  return el("td", { role: "gridcell", class: look ? `v-${look}` : null, "aria-label": told, title: `${told}; loudest: ${loudest.word}` },
    share.length <= grid.fits ? share : String(passed));
}

function markActive() {
  grid.table.querySelectorAll(".active").forEach((cell) => {
    cell.classList.remove("active");
    cell.removeAttribute("id");
  });
  const [key, at] = grid.active;
  const line = rowAt(key)?.line;
  const cell = at < 0 ? line?.firstElementChild : line?.querySelector(`[data-at="${at}"]`);
  if (cell) {
    cell.classList.add("active");
    cell.id = "active";
    grid.table.setAttribute("aria-activedescendant", "active");
  } else grid.table.removeAttribute("aria-activedescendant");
}

// Make a cell the active one, and bring it into the window.
function moveTo(key, at) {
  const view = document.getElementById("view");
  const place = grid.rows.findIndex((row) => row.key === key);
  grid.active = [key, at];
  const [head, left] = [grid.head.offsetHeight, at * grid.width];
  if (place >= 0) view.scrollTop = within(view.scrollTop, (place + 1) * grid.row + head - view.clientHeight, place * grid.row);
  if (at >= 0) view.scrollLeft = within(view.scrollLeft, left + grid.width + grid.first - view.clientWidth, left);
  fill(windowOf(view));
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-10, 0], PageDown: [10, 0], Home: [0, -1e6], End: [0, 1e6] };

function onGridKey(event) {
  const [key, at] = grid.active;
  if (event.key === "Enter" || event.key === " ") actOn(key, at);
  else if (event.key in STEPS && !event.altKey && !event.metaKey) {
    const [down, right] = STEPS[event.key];
    const keys = ["h", ...grid.rows.map((row) => row.key)];
    const next = keys[within(keys.indexOf(key) + down, 0, keys.length - 1)];
    moveTo(next, within(at + right, next === "h" ? 0 : -1, grid.columns.length - 1));
  } else return;
  event.preventDefault();
}

function onGridClick(event) {
  const cell = event.target.closest("th, td");
  const line = cell?.parentElement;
  if (!line || !grid.table.contains(line)) return;
  const key = line === grid.head ? "h" : line.dataset.row;
  const at = cell.dataset.at === undefined ? -1 : Number(cell.dataset.at);
  grid.active = [key, at];
  markActive();
  actOn(key, at);
}

// What a click or Enter does: fold a group, sort by a column, or show the evidence.
function actOn(key, at) {
  const column = data.columns[grid.columns[at]];
  if (key === "h" && column) {
    const now = current.sort.slice(7) === column.label ? current.sort[6] : "";
    change({ sort: { "": `column+${column.label}`, "+": `column-${column.label}`, "-": "" }[now] });
  } else if (key.startsWith("g")) {
    if (!grid.closed.delete(key.slice(1))) grid.closed.add(key.slice(1));
    redraw();
  } else if (key.startsWith("f")) {
    const { id } = data.features[key.slice(1)];
    change({ at: column ? `${id}@@${column.label}` : id });
  }
}

// Go to the cell that the state names, if it is on view.
function goTo(at) {
  const [id, label] = at.split("@@");
  const place = data.features.findIndex((feature) => feature.id === id);
  const column = grid.columns.findIndex((one) => data.columns[one].label === label);
  if (grid.table && rowAt(`f${place}`)) moveTo(`f${place}`, column);
}
