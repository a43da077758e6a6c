// The metrics of the last minutes, and how they are drawn.

import { clockTime, duration, el, number, svg, text } from "./dom.js";

export const SPAN_MS = 600_000;
/** Rates are those of the last ten seconds: objects are written every three. */
const RATE_MS = 10_000;
/** Percentiles are those of the last minute. */
const QUANTILE_MS = 60_000;

/** Samples of `/metrics`: a time each, and for each name a value or null. */
export class History {
  at = [];
  series = {};

  /** Adds newer samples. */
  add({ at, series }) {
    const before = this.at.length;
    this.at.push(...at);
    for (const [name, values] of Object.entries(series)) {
      this.series[name] ??= new Array(before).fill(null);
      this.series[name].push(...values);
    }
    const old = this.at.findIndex((time) => time > this.at.at(-1) - SPAN_MS);
    for (const values of Object.values(this.series)) {
      while (values.length < this.at.length) values.push(null);
      if (old > 0) values.splice(0, old);
    }
    if (old > 0) this.at.splice(0, old);
  }

  get last() {
    return this.at.at(-1);
  }

  values(name) {
    return this.series[`tidegate_${name}`] ?? [];
  }

  /** The last value of a total or a gauge. A metric that has not happened is 0. */
  value(name) {
    return this.values(name).at(-1) ?? 0;
  }

  /** How much a total grew in the last `ms`. */
  grown(name, ms = 60_000) {
    const from = this.at.findIndex((time) => time >= this.last - ms);
    return Math.max(0, this.value(name) - (this.values(name)[Math.max(0, from)] ?? 0));
  }

  /** A line of a chart: a value or null for each sample. */
  line({ kind, metric, quantile }) {
    if (kind === "rate") return this.rates(metric);
    return kind === "gauge" ? this.gauges(metric) : this.quantiles(metric, quantile);
  }

  /** A total's rate in a second, for each sample. */
  rates(name) {
    const values = this.values(name);
    let from = 0;
    return this.at.map((time, index) => {
      while (this.at[from] < time - RATE_MS) from++;
      if (from === index) return null;
      const grown = (values[index] ?? 0) - (values[from] ?? 0);
      // A total falls when the local run was started again.
      return grown < 0 ? null : grown / ((time - this.at[from]) / 1000);
    });
  }

  rate(name) {
    return this.rates(name).at(-1) ?? 0;
  }

  /** A gauge for each sample. */
  gauges(name) {
    return this.at.map((_time, index) => this.values(name)[index] ?? null);
  }

  /** A percentile of the last minute for each sample; null where nothing was measured in it. */
  quantiles(name, quantile) {
    const counts = this.values(`${name}_count`);
    let from = 0;
    return this.values(`${name}{quantile="${quantile}"}`).map((value, index) => {
      while (this.at[from] < this.at[index] - QUANTILE_MS) from++;
      // `/metrics` has 0 then, too.
      return value > 0 || counts[index] > (counts[from] ?? 0) ? value : null;
    });
  }

  quantile(name, quantile) {
    return this.quantiles(name, quantile).at(-1) ?? null;
  }
}

const per = (metric, label) => ({ kind: "rate", metric, label });
const gauge = (metric, label) => ({ kind: "gauge", metric, label });
const quantile = (metric, quantile, label) => ({ kind: "quantile", metric, quantile, label });
const latency = (metric) => [quantile(metric, "0.99", "p99"), quantile(metric, "0.5", "p50")];

/**
 * In the order of the CloudWatch dashboard, with its titles and labels. `docs/grafana.json` is made of the same list, so it holds
 * no functions.
 */
export const CHARTS = [
  {
    title: "Requests a second",
    lines: [
      per("requests_received_total", "received"),
      per("requests_filtered_total", "filtered by tier"),
      per("credentials_refused_total", "refused by credential"),
      per("quotas_exceeded_total", "refused by quota"),
      per("events_rejected_total", "events rejected"),
    ],
  },
  {
    title: "Events a second",
    lines: [per("events_accepted_total", "accepted"), per("events_spilled_total", "spilled")],
  },
  { title: "Publish: a put, as ingest sees it", unit: "ms", lines: latency("publish_latency_milliseconds") },
  {
    title: "Spill queue",
    lines: [gauge("spill_depth", "waiting"), gauge("spill_dead_letters", "dead letters")],
  },
  {
    title: "Freshness: ingest to archive",
    unit: "ms",
    limit: "freshness_ms",
    lines: latency("freshness_milliseconds"),
  },
  {
    title: "Outcomes a second",
    lines: [
      per("events_stored_total", "stored"),
      per("events_deduplicated_total", "deduplicated"),
      per("events_redelivered_total", "redelivered"),
      per("events_quarantined_total", "quarantined"),
    ],
  },
  {
    title: "Oldest record on the stream",
    unit: "s",
    lines: [gauge("oldest_record_age_seconds", "age")],
  },
  {
    title: "Events in a batch",
    lines: [quantile("batch_events", "1", "largest"), quantile("batch_events", "0.5", "p50")],
  },
  {
    title: "S3 writes a second, by kind",
    lines: [
      per("objects_written_total", "objects"),
      per("claim_parts_written_total", "claim parts"),
      per("text_parts_written_total", "text parts"),
      per("quarantine_objects_written_total", "quarantine"),
      per("sidecars_written_total", "sidecars"),
    ],
  },
  {
    title: "Dispatched a second",
    of: "dispatch",
    lines: [per("dispatches_queued_total", "queued"), per("events_dispatched_total", "dispatched")],
  },
  {
    title: "Dispatch queue",
    of: "dispatch",
    lines: [gauge("dispatch_depth", "waiting"), gauge("dispatch_dead_letters", "dead letters")],
  },
  { title: "Target: a call", of: "dispatch", unit: "ms", lines: latency("dispatch_latency") },
];

const UNITS = { ms: duration, s: (seconds) => duration(seconds === null ? null : seconds * 1000) };

/** All charts, with one moment for all of them: that of the pointer, or of the arrow keys; else now. */
export function charts(container, moment, settings) {
  const drawn = CHARTS.filter((chart) => !chart.of || settings[chart.of]).map((chart) => new Chart(chart, settings));
  container.replaceChildren(...drawn.map((chart) => chart.figure));
  let history = new History();
  // Counted from the last sample, so that it stays where it is in the picture.
  let back = null;

  const draw = () => {
    const index = back === null ? null : Math.max(0, history.at.length - 1 - back);
    text(moment, index === null ? "now" : `at ${clockTime(history.at[index])}`);
    for (const chart of drawn) chart.draw(history, index);
  };
  const move = (to) => {
    back = to === null || history.at.length === 0 ? null : Math.min(Math.max(to, 0), history.at.length - 1);
    draw();
  };
  container.addEventListener("pointermove", (event) => {
    const plot = event.target.closest?.(".plot");
    if (!plot || history.at.length === 0) return move(null);
    const box = plot.getBoundingClientRect();
    const time = history.last - SPAN_MS * (1 - (event.clientX - box.left) / box.width);
    const after = history.at.findIndex((at) => at >= time);
    move(history.at.length - 1 - (after < 0 ? history.at.length - 1 : after));
  });
  container.addEventListener("pointerleave", () => move(null));
  container.addEventListener("blur", () => move(null));
  container.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 1, ArrowRight: -1 }[event.key];
    if (step) move((back ?? 0) + step);
    else if (event.key === "Escape") move(null);
    else return;
    event.preventDefault();
  });
  return (newer) => {
    history = newer;
    draw();
  };
}

class Chart {
  constructor({ title, lines, unit, limit }, settings) {
    const shown = UNITS[unit] ?? number;
    Object.assign(this, { lines, shown, limit: settings[limit] ?? null });
    this.paths = lines.map((_line, index) => svg("path", { class: `line c${index}`, fill: "none" }));
    this.limitLine = svg("line", { class: "limit", x1: 0, x2: SPAN_MS });
    this.cursor = svg("line", { class: "cursor", y1: 0, y2: 100, visibility: "hidden" });
    this.values = lines.map(() => el("td", {}, "–"));
    this.top = el("span", { class: "top muted" }, "");
    const grid = [0, 50].map((y) => svg("line", { class: "grid", x1: 0, x2: SPAN_MS, y1: y, y2: y }));
    const rows = lines.map(({ label }, index) => row(`c${index}`, label, this.values[index]));
    if (this.limit !== null) rows.push(row("limit", "promised", el("td", {}, shown(this.limit))));
    this.figure = el(
      "figure",
      {},
      el("figcaption", {}, title),
      el(
        "div",
        { class: "plot" },
        this.top,
        svg(
          "svg",
          { viewBox: `0 0 ${SPAN_MS} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
          ...grid,
          this.limitLine,
          ...this.paths,
          this.cursor,
        ),
      ),
      el("table", { class: "legend", "aria-label": title }, el("tbody", {}, ...rows)),
    );
  }

  draw(history, index) {
    const all = this.lines.map((line) => history.line(line));
    const most = scale(Math.max(this.limit ?? 0, ...all.flat().filter((value) => value !== null)));
    text(this.top, this.shown(most));
    const start = (history.last ?? 0) - SPAN_MS;
    all.forEach((values, line) => {
      this.paths[line].setAttribute("d", path(history.at, values, start, most));
      text(this.values[line], this.shown(values[index ?? values.length - 1] ?? null));
    });
    const y = this.limit === null ? -1 : 100 - (100 * this.limit) / most;
    this.limitLine.setAttribute("y1", y);
    this.limitLine.setAttribute("y2", y);
    this.cursor.setAttribute("visibility", index === null ? "hidden" : "visible");
    if (index !== null) {
      this.cursor.setAttribute("x1", history.at[index] - start);
      this.cursor.setAttribute("x2", history.at[index] - start);
    }
  }
}

function row(color, label, value) {
  return el("tr", {}, el("th", { scope: "row" }, el("i", { class: `key ${color}` }), label), value);
}

/** A chart of one line without axes. */
export function sparkline() {
  const line = svg("path", { class: "line c0", fill: "none" });
  const area = svg("path", { class: "area" });
  const picture = svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${SPAN_MS} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    area,
    line,
  );
  const draw = (history, values) => {
    const start = (history.last ?? 0) - SPAN_MS;
    const most = scale(Math.max(0, ...values.filter((value) => value !== null)));
    const drawn = path(history.at, values, start, most * 1.1);
    line.setAttribute("d", drawn);
    area.setAttribute("d", drawn.includes("L") ? closed(drawn) : "");
  };
  return { picture, draw };
}

/** Gaps stay gaps. */
function path(at, values, start, most) {
  let drawn = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value === null) return (pen = "M");
    drawn += `${pen}${Math.max(0, at[index] - start)} ${(100 - (100 * value) / most).toFixed(2)}`;
    pen = "L";
  });
  return drawn;
}

/** Each part of a line down to the axis. */
function closed(drawn) {
  return drawn
    .split("M")
    .filter((part) => part.includes("L"))
    .map((part) => {
      const points = part.split("L");
      return `M${points[0].split(" ")[0]} 100L${part}L${points.at(-1).split(" ")[0]} 100Z`;
    })
    .join("");
}

/** The next of 1, 2, 5, 10, 20 … */
function scale(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return power * ([1, 2, 5, 10].find((step) => step * power >= most) ?? 10);
}
