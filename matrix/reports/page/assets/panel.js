// The evidence of a cell, read from the page only when somebody asks for it.

let known = null;
function evidence() {
  known ||= JSON.parse(document.getElementById("evidence").textContent);
  return known;
}
const textOf = (place) => evidence().texts[place];

const definitions = (pairs) => el("dl", {}, pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
const folded = (title, text, open) => (text ? el("details", { open }, el("summary", {}, title), el("pre", { tabindex: "0" }, text)) : null);
const KINDS = {
  measured: "a test ran there, then, on that hardware", gated: "a rule follows from declared facts and the machine",
  declared: "somebody published it", unknown: "nothing was measured: it may work or not",
};
const kindTag = (kind) => el("span", { class: `tag ${kind}`, title: KINDS[kind] }, kind);

function copyButton(name, text) {
  return el("button", {
    type: "button", class: "quiet", onclick: async (event) => {
      const button = event.currentTarget;
      try {
        await navigator.clipboard.writeText(text());
        button.textContent = "copied";
      } catch {
        button.textContent = "not allowed here";
      }
    },
  }, name);
}

function drawPanel(state, focus) {
  const panel = document.getElementById("panel");
  const [id, label] = state.at.split("@@");
  const feature = data.features.findIndex((one) => one.id === id);
  const suite = data.suites.findIndex((one) => `${one.suite}/${one.file}` === id);
  const column = data.columns.findIndex((one) => one.label === label);
  const workload = data.workloads.findIndex((one) => nameOf(one) === id);
  const parts = !state.at ? null
    : feature >= 0 && column >= 0 ? cellParts(feature, column)
      : feature >= 0 ? featureParts(feature, state)
        : suite >= 0 && column >= 0 ? suiteParts(suite, column)
          : workload >= 0 && column >= 0 ? workloadParts(workload, column)
            : column >= 0 ? columnParts(column)
              : [el("h2", { tabindex: "-1" }, "Not in this report"), el("p", {}, state.at)];
  panel.hidden = !parts;
  if (!parts) return panel.replaceChildren();
  const [title, ...rest] = parts.filter(Boolean);
  panel.replaceChildren(el("div", { class: "bar" }, title, el("div", {},
    copyButton("copy link", () => location.href),
    el("button", { type: "button", class: "quiet", "aria-label": "Close evidence", onclick: close }, "✕"))), ...rest);
  panel.scrollTop = 0;
  if (focus) title.focus();
}

function close() {
  const { at } = current;
  change({ at: "" });
  goTo(at);
  (grid.table || document.getElementById("view")).focus();
}

function cellParts(place, column) {
  const feature = data.features[place];
  const mark = data.marks[feature.cells[column]];
  const where = data.columns[column];
  const tests = evidence().cells[`f${place}.${column}`] || [];
  return [
    el("h2", { tabindex: "-1" }, el("span", { class: "mono" }, feature.id), " in ", where.short),
    el("p", {}, verdictTag(mark.look, mark.symbol, mark.word, "big"), kindTag(mark.kind), where.stale ? ` ≈ stale: ${where.stale} changed since` : ""),
    feature.title ? el("p", {}, feature.title) : null,
    tests.length ? null : el("p", {}, "Nothing of this feature ran in this execution: whether it works there is unknown."),
    ...tests.map(testPart),
    ...placeParts(column, new Set(tests.length ? tests.map((test) => textOf(test[12])) : ["feature"])),
    el("h3", {}, "This feature"),
    el("p", {}, el("button", { type: "button", class: "link", onclick: () => change({ at: feature.id }, true) }, "What it is, and in which releases it passes")),
  ];
}

const TEST = ["id", "symbol", "word", "look", "reason", "seconds", "traceback", "error", "tolerance", "seed", "cause", "fix", "suite", "waiver", "source"];

function testPart(values) {
  const test = Object.fromEntries(TEST.map((name, at) => [name, values[at]]));
  const numbers = [
    test.error !== "" ? ["error", `${test.error} (tolerance ${test.tolerance || "not recorded"})`] : null,
    test.seed !== "" ? ["seed", String(test.seed)] : null,
    test.seconds !== null ? ["took", `${test.seconds} s`] : null,
    test.waiver ? ["waived", textOf(test.waiver)] : null,
  ].filter(Boolean);
  return el("div", { class: "test" },
    el("div", {}, verdictTag(test.look, test.symbol, test.word), " ", el("code", {}, textOf(test.id))),
    test.reason ? el("p", {}, textOf(test.reason)) : null,
    numbers.length ? definitions(numbers) : null,
    test.cause ? el("div", { class: "known" }, el("div", {}, el("strong", {}, "cause: "), textOf(test.cause)),
      el("div", {}, el("strong", {}, "fix: "), textOf(test.fix)),
      test.source ? el("div", {}, el("strong", {}, "source: "), textOf(test.source)) : null) : null,
    test.traceback ? folded("traceback", textOf(test.traceback), true) : null);
}

// Where a column was measured, and for these suites when, from what, and how to do it again.
function placeParts(column, suites) {
  const found = evidence().columns[column];
  const parts = [el("h3", {}, "Where ", kindTag("measured")), definitions(found.facts.map(([name, text]) => [name, textOf(text)]))];
  for (const [suite, source] of Object.entries(found.suites)) {
    if (suites && !suites.has(suite)) continue;
    const command = textOf(source.command);
    parts.push(
      el("h3", {}, `Suite ${suite}`),
      el("div", {}, "again: ", copyButton("copy", () => command), el("pre", { tabindex: "0" }, command)),
      definitions(source.facts.map(([name, text]) => [name, textOf(text)])),
      folded("Dockerfile", textOf(source.dockerfile)), folded("lock (versions; the bundle has the hashes)", textOf(source.lock)),
    );
  }
  return parts;
}

function featureParts(place, state) {
  const feature = data.features[place];
  const columns = visibleColumns(state);
  return [
    el("h2", { tabindex: "-1", class: "mono" }, feature.id),
    el("p", {}, feature.title),
    feature.purpose ? el("p", {}, kindTag("declared"), " ", feature.purpose) : null,
    feature.needs.length ? el("p", {}, `Needs ${feature.needs.join(", ")}; else it is skipped.`) : null,
    feature.tests.length ? el("ul", {}, feature.tests.map(([name, told]) => el("li", {}, el("code", {}, name), told ? `: ${told}` : ""))) : null,
    el("h3", {}, "In the executions on view"),
    definitions(columns.map((column) => {
      const mark = data.marks[feature.cells[column]];
      return [data.columns[column].short, el("button", { type: "button", class: "link", onclick: () => change({ at: `${feature.id}@@${data.columns[column].label}` }, true) }, verdictTag(mark.look, mark.symbol, mark.word))];
    })),
  ];
}

function suiteParts(place, column) {
  const { suite, file, cells } = data.suites[place];
  const tests = evidence().cells[`s${place}.${column}`] || [];
  const told = cells[column].map(([mark, count]) => `${count} ${data.marks[mark].word}`).join(", ");
  return [
    el("h2", { tabindex: "-1" }, `${suite}: ${file} in ${data.columns[column].short}`),
    el("p", {}, told || "not measured", " ", kindTag(told ? "measured" : "unknown")),
    ...tests.map(testPart), ...placeParts(column, new Set([suite])),
  ];
}

function workloadParts(place, column) {
  const work = data.workloads[place];
  const cell = work.cells[column];
  return [
    el("h2", { tabindex: "-1" }, `${work.workload} in ${data.columns[column].short}`),
    el("p", {}, `${work.params} ${work.metric}`, " ", kindTag(cell ? "measured" : "unknown")),
    cell ? el("p", {}, valueParts(work, cell)) : null,
    cell && cell.why ? el("p", {}, cell.why) : null,
    ...placeParts(column, new Set(["throughput"])),
  ];
}

const columnParts = (column) => [el("h2", { tabindex: "-1" }, data.columns[column].label), ...placeParts(column, null)];
