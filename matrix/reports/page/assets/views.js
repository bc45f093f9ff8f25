// The other views: plain tables, cards and charts over the same columns.

const nameOf = (work) => [work.workload, work.params, work.metric].filter(Boolean).join(" ");
const openAt = (at, ...children) => el("button", { type: "button", class: "link", onclick: () => change({ at }, true) }, ...children);

function plainTable(label, head, rows) {
  if (!rows.length) return el("p", { class: "empty" }, "Nothing here fits these filters.");
  return el("table", { class: "plain", "aria-label": label },
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), rest))));
}

function valueParts(work, cell) {
  if (cell.verdict !== undefined) {
    const mark = data.marks[cell.verdict];
    const tag = verdictTag(mark.look, mark.symbol, mark.word);
    return cell.value ? [`${cell.value} ${work.unit} `, tag] : [tag];
  }
  return [
    `${cell.value} ${work.unit}${cell.spread ? ` ±${cell.spread}%` : ""}`,
    cell.rate ? el("small", {}, `${cell.rate} ${work.rate_unit}`) : null,
    cell.ratio ? el("small", {}, cell.ratio) : null,
  ].filter(Boolean);
}

const has = (state, ...texts) => texts.join(" ").toLowerCase().includes(state.feature.toLowerCase());
const head = (columns) => columns.map((column) => data.columns[column].short);

function drawThroughput(view, state, columns) {
  const used = columns.filter((column) => data.workloads.some((work) => work.cells[column]));
  const rows = data.workloads.filter((work) => used.some((column) => work.cells[column]) && has(state, nameOf(work)));
  view.replaceChildren(
    el("div", { class: "section" }, el("h2", {}, "Throughput ", kindTag("measured")),
      el("p", {}, "Median ± half the interquartile range. ", ...data.baselines.map(([where, base]) => (where
        ? ` Ratio of ${where}, where it did not run: to ${base}.`
        : `Ratio to ${base}: more than 1 is better than the baseline, whatever the metric; ~ is within the spread, n/c not comparable.`)))),
    el("div", { class: "charts" }, ...chartsOf(used, state)),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Throughput in numbers" }, plainTable("Throughput", ["workload", ...head(used)], rows.map((work) => [
      [el("span", { class: "mono" }, work.workload), el("small", {}, [work.params, work.metric].filter(Boolean).join(" · "))],
      ...used.map((column) => el("td", { class: "number" }, work.cells[column]
        ? openAt(`${nameOf(work)}@@${data.columns[column].label}`, ...valueParts(work, work.cells[column]))
        : verdictTag("not-measured", "?", "not measured"))),
    ]))));
  return rows.length;
}

// A suite ran in some columns only, and has few files: columns stand under each other.
function drawSuites(view, state, columns) {
  const found = data.suites.filter((file) => has(state, file.suite, file.file));
  const suites = [...new Set(found.map((file) => file.suite))].map((name) => {
    const files = found.filter((file) => file.suite === name);
    const used = columns.filter((column) => files.some((file) => file.cells[column].length));
    return [name, files, used];
  }).filter(([, , used]) => used.length);
  view.replaceChildren(...suites.flatMap(([name, files, used]) => [
    el("div", { class: "section" }, el("h2", {}, `${name} `, kindTag("measured"))),
    plainTable(`Suite ${name}`, ["column", ...files.map((file) => file.file)], used.map((column) => [
      el("span", { class: "mono" }, data.columns[column].short),
      ...files.map((file) => el("td", {}, openAt(`${file.suite}/${file.file}@@${data.columns[column].label}`, ...(file.cells[column].length
        ? file.cells[column].map(([mark, count]) => verdictTag(data.marks[mark].look, data.marks[mark].symbol, `${count} ${data.marks[mark].short}`))
        : [verdictTag("not-measured", "?", "not measured")])))),
    ])),
  ]));
  if (!suites.length) view.replaceChildren(plainTable("Your suites", [], []));
  return found.length;
}

function drawUntested(view, state) {
  const rows = data.untested.filter((gap) => isChosen(gap, state) && has(state, gap.cell, gap.word, gap.reason, gap.source));
  view.replaceChildren(plainTable("Combinations without results", ["cell", "verdict", "reason", "kind", "source"], rows.map((gap) => [
    el("span", { class: "mono" }, gap.cell),
    el("td", {}, verdictTag(gap.look, gap.symbol, gap.word)),
    el("td", {}, gap.reason, gap.cause ? el("small", {}, `cause: ${gap.cause}; fix: ${gap.fix}`) : null),
    el("td", {}, kindTag(gap.kind)), el("td", {}, gap.source),
  ])));
  return rows.length;
}

function drawCauses(view, state, columns) {
  const on = new Set(columns);
  const found = data.causes.filter((cause) => cause.places.some(([subjects, places]) => (
    places.some((place) => on.has(place)) && has(state, cause.word, cause.reason, cause.cause, ...subjects))));
  const where = ([subjects, places]) => {
    const own = places.filter((place) => on.has(place));
    return own.length ? el("p", {}, subjects.map((subject) => [openAt(`${subject}@@${data.columns[own[0]].label}`, subject), " "]).flat(), "in ", own.map((place) => data.columns[place].short).join(", ")) : null;
  };
  view.replaceChildren(found.length ? el("ul", { class: "cards" }, found.map((cause) => el("li", { class: "card" },
    el("div", {}, verdictTag(cause.look, cause.symbol, cause.word)), ...cause.places.map(where).filter(Boolean),
    el("p", { class: "mono" }, cause.reason),
    cause.cause ? el("p", {}, el("strong", {}, "cause: "), `${cause.cause} (${cause.source})`) : null,
    cause.fix ? el("p", {}, el("strong", {}, "fix: "), cause.fix) : null))) : el("p", { class: "empty" }, "Nothing failed in these executions."));
  return found.length;
}

function drawColumns(view, state, columns) {
  view.replaceChildren(plainTable("Executions", ["execution", "on", "how", "companions", "measured", "state"], columns.map((place) => {
    const column = data.columns[place];
    return [
      openAt(`@@${column.label}`, column.label), el("td", {}, column.device, el("small", {}, column.model)),
      el("td", {}, column.backend, el("small", {}, column.provision)), el("td", {}, column.companions.join(", ")),
      el("td", { class: "number" }, column.last),
      el("td", {}, column.stale ? [verdictTag("stale", "≈", "stale"), el("small", {}, `${column.stale} changed since`)] : ""),
    ];
  })));
  return columns.length;
}

// Charts, drawn by Vega-Lite when they come into view; without it, the numbers say the same.
let library = null;
function loadLibrary() {
  library ||= new Promise((resolve) => {
    const script = el("script", { type: "module" });
    script.textContent = document.getElementById("vega").textContent;
    document.head.append(script);
    const wait = () => (window.vegaEmbed ? resolve(window.vegaEmbed) : setTimeout(wait, 10));
    wait();
  });
  return library;
}

function colourOf(name) {
  const probe = el("i", {});
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function configOf() {
  const [ink, muted, line] = ["ink", "muted", "line"].map(colourOf);
  const font = getComputedStyle(document.body).fontFamily;
  const [small, large] = [0.72 * remOf(), 0.8 * remOf()];
  const category = ["series-1", "series-2", "series-3", "series-4", "series-5", "series-6"].map(colourOf);
  return {
    font, background: "transparent", view: { stroke: "transparent" }, range: { category }, text: { fontSize: small },
    axis: { labelFontSize: small, titleFontSize: small, labelColor: muted, titleColor: muted, gridColor: line, domainColor: line, tickColor: line },
    legend: { labelFontSize: large, labelColor: ink, titleColor: muted },
  };
}

let watcher = null;
function chartsOf(columns, state) {
  watcher?.disconnect();
  if (!document.getElementById("vega")) return [];
  const on = new Set(columns);
  watcher = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      watcher.unobserve(entry.target);
      plot(entry.target);
    }
  }, { rootMargin: "300px" });
  return data.charts.map((chart) => {
    const points = chart.points.filter((point) => on.has(point.column));
    if (points.length < 2 || !has(state, chart.title)) return null;
    const figure = el("figure", { class: chart.kind === "ratios" ? "wide" : null },
      el("figcaption", {}, chart.title, el("small", {}, chart.subtitle)), el("div", { class: "plot", tabindex: "0", role: "region", "aria-label": `Chart: ${chart.title}` }));
    figure.chart = { ...chart, points };
    watcher.observe(figure);
    return figure;
  }).filter(Boolean);
}

// Labels of rows in several lines, so that a narrow screen shows what tells them apart.
function wrapLabels(spec, labels) {
  const lines = Math.max(...labels.map((label) => label.replace(/(\S.{12,}?) /g, "$1\n").split("\n").length));
  spec.encoding.y.axis.labelExpr = "split(replace(datum.label, /(\\S.{12,}?) /g, '$1\\n'), '\\n')";
  spec.height = { step: Math.max(24, (lines + 0.5) * 0.9 * remOf()) };
}

async function plot(figure) {
  const embed = await loadLibrary();
  const { chart } = figure;
  const spec = structuredClone(chart.spec);
  spec.data.values = chart.points;
  const place = figure.querySelector(".plot");
  const wide = place.clientWidth;
  if (typeof spec.width === "number") spec.width = Math.max(200, wide - 60);
  else if (wide < 700) wrapLabels(spec, chart.points.map((point) => point.row));
  const description = `${chart.title}, ${chart.subtitle}: the table below has the same numbers`;
  await embed(place, { ...spec, description }, {
    actions: false, ast: true, renderer: "svg", config: configOf(), defaultStyle: false,
    tooltip: { disableDefaultStyle: true }, loader: { load: () => Promise.reject(new Error("no network")) },
  });
}
