// What is shown is a function of the data and of the state, and the state is the fragment.

const data = JSON.parse(document.getElementById("data").textContent);
const SOME_ALONE = data.columns.some((column) => !column.companions.length);
const AXES = {
  torch: "PyTorch", variant: "Variant", python: "Python", device: "Device", backend: "Backend",
};
const KEYS = [
  "view", "torch", "variant", "python", "device", "backend", "companion", "feature", "verdict",
  "differ", "unrun", "sort", "at",
];

function readState() {
  const found = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(KEYS.map((key) => [key, (found.get(key) || "").slice(0, 300)]));
}

function fragmentOf(state) {
  const kept = KEYS.filter((key) => state[key]).map((key) => [key, state[key]]);
  return `#${new URLSearchParams(kept).toString()}`;
}

const several = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);

function compareReleases(one, other) {
  const [a, b] = [one, other].map((text) => (text.match(/\d+/g) || []).map(Number));
  for (let place = 0; place < b.length; place += 1) {
    if ((a[place] || 0) !== b[place]) return (a[place] || 0) - b[place];
  }
  return 0; // as far as the other one says: 2.13.1 is 2.13
}

const COMPARE = {
  ">=": (sign) => sign >= 0, "<=": (sign) => sign <= 0, ">": (sign) => sign > 0, "<": (sign) => sign < 0,
};

function isRelease(torch, wanted) {
  const [, sign, release] = wanted.match(/^(>=|<=|>|<)?\s*(.*)$/);
  if (sign) return COMPARE[sign](compareReleases(torch, release));
  return torch === release || torch.startsWith(`${release}.`) || torch.startsWith(`${release}+`);
}

// In the table of features, cells with companions only where they are asked for: few features are theirs.
const companionsOf = (state) => (SOME_ALONE && isGrid(state) ? "none" : "all");
const isGrid = (state) => !["causes", "throughput", "suites", "untested", "executions"].includes(state.view);

// One that has `torch`, `variant`, `python` and `companions`: a column, or a cell without results.
function isChosen(one, state) {
  const within = (name, wanted) => (name === "torch" ? isRelease(one[name], wanted) : one[name] === wanted);
  for (const name of Object.keys(AXES)) {
    if (state[name] && name in one && !several(state[name]).some((part) => within(name, part))) return false;
  }
  const wanted = state.companion || companionsOf(state);
  if (wanted === "all") return true;
  if (wanted === "none") return !one.companions.length;
  return one.companions.some((part) => part === wanted || part.split("==")[0] === wanted);
}

// In the table of features, columns in which some ran: others have throughput or a suite of one's own.
const NOT_MEASURED = data.marks.findIndex((mark) => mark.verdict === "not measured");
const HAS_FEATURES = data.columns.map((_, place) => data.features.some((feature) => feature.cells[place] !== NOT_MEASURED));
const isShown = (place, state) => !isGrid(state) || state.unrun || HAS_FEATURES[place];
const chosenColumns = (state) => data.columns.map((_, place) => place).filter((place) => isChosen(data.columns[place], state));
const visibleColumns = (state) => chosenColumns(state).filter((place) => isShown(place, state));

// Numbers of the verdicts that the state names; null where it names none.
function wantedVerdicts(state) {
  const names = several(state.verdict);
  if (!names.length) return null;
  const numbers = data.marks.map((_, place) => place);
  return new Set(numbers.filter((place) => names.includes(data.marks[place].verdict)));
}

// Features that only companions bring to life: idle here, and not idle in a column with companions.
const IDLE = new Set(data.marks.map((mark, place) => (["skip", "not measured"].includes(mark.verdict) ? place : -1)));
const NEED_COMPANIONS = new Set(SOME_ALONE ? data.features.filter((feature) => data.columns.every(
  (column, place) => column.companions.length || IDLE.has(feature.cells[place]),
) && feature.cells.some((cell) => !IDLE.has(cell))) : []);

const UNKNOWN = data.marks.findIndex((mark) => mark.kind === "unknown");

function visibleFeatures(state, columns) {
  const text = state.feature.toLowerCase();
  const wanted = wantedVerdicts(state);
  const shown = [];
  let unrun = 0;
  data.features.forEach((feature, place) => {
    if (text && !`${feature.group} ${feature.id} ${feature.title}`.toLowerCase().includes(text)) return;
    const cells = columns.map((column) => feature.cells[column]);
    if (wanted && !cells.some((cell) => wanted.has(cell))) return;
    const told = new Set(cells);
    told.delete(UNKNOWN);
    if (state.differ && told.size < 2) return;
    const apart = !state.companion && !text && NEED_COMPANIONS.has(feature);
    if (apart || (!told.size && !(wanted && wanted.has(UNKNOWN)))) {
      unrun += 1;
      if (!state.unrun) return;
    }
    shown.push(place);
  });
  return { shown: sorted(shown, columns, state), unrun };
}

const LOUDNESS = data.marks.map((mark) => mark.rank);

function sorted(places, columns, state) {
  const [name, label] = [state.sort.slice(0, 7), state.sort.slice(7)];
  const byName = (a, b) => data.features[a].id.localeCompare(data.features[b].id);
  if (state.sort === "name") return places.sort(byName);
  if (state.sort === "trouble") {
    // in how many columns it is how loud, loudest first
    const loud = new Map(places.map((place) => {
      const tally = new Array(LOUDNESS.length).fill(0);
      columns.forEach((column) => { tally[LOUDNESS[data.features[place].cells[column]]] += 1; });
      return [place, tally];
    }));
    return places.sort((a, b) => {
      const [x, y] = [loud.get(a), loud.get(b)];
      const at = x.findIndex((count, rank) => count !== y[rank]);
      return at < 0 ? byName(a, b) : y[at] - x[at];
    });
  }
  const column = data.columns.findIndex((one) => one.label === label);
  if (column < 0 || !["column+", "column-"].includes(name)) return places;
  const sign = name.endsWith("+") ? 1 : -1;
  return places.sort((a, b) => sign * (LOUDNESS[data.features[a].cells[column]] - LOUDNESS[data.features[b].cells[column]]));
}

// Text only ever becomes text: nothing here writes markup.
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const symbol = (text) => el("span", { class: "symbol", "aria-hidden": "true" }, text);
const verdictTag = (look, sign, word, more) => el("span", { class: `v v-${look} ${more || ""}` }, symbol(sign), ` ${word}`);
