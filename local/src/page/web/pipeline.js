// The pipeline: a card for each part, in the order of the data. The parts beside the main way are branches.

import { sparkline } from "./charts.js";
import { bytes, duration, el, number, text } from "./dom.js";

/** The most shards in the card of the stream. */
const SHARDS = 8;

/**
 * `big` is the large number with its unit, `rows` the small ones, `line` what is charted. `isBad` marks a number that someone
 * should look at.
 */
const CARDS = [
  {
    name: "ingest",
    title: "Ingest",
    big: (now) => [number(now.rate("requests_received_total")), "requests/s"],
    rows: (now) => [
      ["events accepted", `${number(now.rate("events_accepted_total"))}/s`],
      ["bytes accepted", `${bytes(now.rate("bytes_accepted_total"))}/s`],
      ["accepted in all", number(now.value("events_accepted_total"))],
    ],
    line: (now) => now.rates("requests_received_total"),
  },
  {
    name: "refused",
    title: "Refused",
    isBranch: true,
    big: (now) => [number(REFUSALS.reduce((sum, [name]) => sum + now.grown(name), 0)), "in the last minute"],
    rows: (now) => [
      ...REFUSALS.map(([name, label]) => [label, number(now.value(name))]),
      ["not stored (503)", number(now.value("events_refused_lately")), now.value("events_refused_lately") > 0],
    ],
    line: (now) => sum(REFUSALS.map(([name]) => now.rates(name))),
  },
  {
    name: "stream",
    title: "Stream",
    // Of the shards now: the gauges of the same names are up to two seconds older, and the card would contradict itself.
    big: (_now, { shards }) => [number(shards.reduce((sum, { waiting }) => sum + waiting, 0)), "records waiting"],
    rows: (_now, { shards }) => [
      ["oldest", age(Math.max(...shards.map((shard) => shard.oldest_age_seconds ?? 0)))],
      ...shards.slice(0, SHARDS).map((shard) => [
        shardName(shard.id),
        shard.waiting > 0 ? `${number(shard.waiting)}, ${age(shard.oldest_age_seconds)}` : "nothing waits",
      ]),
      ...(shards.length > SHARDS ? [["more shards", number(shards.length - SHARDS)]] : []),
    ],
    line: (now) => now.gauges("records_waiting"),
  },
  {
    name: "spill",
    title: "Spill",
    isBranch: true,
    big: (now) => [number(now.value("spill_depth")), "messages waiting"],
    isBad: (now) => now.value("spill_depth") > 0,
    rows: (now) => [
      ["spilled lately", number(now.value("events_spilled_lately"))],
      ["spilled in all", number(now.value("events_spilled_total"))],
      ["dead letters", number(now.value("spill_dead_letters")), now.value("spill_dead_letters") > 0],
    ],
    line: (now) => now.gauges("spill_depth"),
  },
  {
    name: "consumer",
    title: "Consumer",
    big: (now) => [number(now.grown("batch_events_count")), "batches in the last minute"],
    rows: (now) => [
      ["events in a batch, p50", number(now.quantile("batch_events", "0.5"))],
      ["failures of a batch", number(now.value("batch_failures")), now.value("batch_failures") > 0],
      ["failed for good", number(now.value("batches_failed_total")), now.value("batches_failed_total") > 0],
      ["restarts", number(now.value("consumer_restarts_total")), now.value("consumer_restarts_total") > 0],
    ],
    line: (now) => now.rates("batch_events_count"),
  },
  {
    name: "quarantine",
    title: "Quarantine",
    isBranch: true,
    href: "#/quarantine",
    big: (now) => [number(now.value("events_quarantined_total")), "since the start"],
    isBad: (now) => now.grown("events_quarantined_total") > 0,
    rows: (now) => [
      ["in the last minute", number(now.grown("events_quarantined_total"))],
      ["objects written", number(now.value("quarantine_objects_written_total"))],
    ],
    line: (now) => now.rates("events_quarantined_total"),
  },
  {
    name: "items",
    title: "Items",
    href: "#/items",
    big: (now) => [number(now.rate("events_stored_total")), "events stored/s"],
    rows: (now) => [
      ["stored in all", number(now.value("events_stored_total"))],
      ["deduplicated", number(now.value("events_deduplicated_total"))],
      ["redelivered", number(now.value("events_redelivered_total"))],
    ],
    line: (now) => now.rates("events_stored_total"),
  },
  {
    name: "dispatch",
    title: "Dispatch",
    isBranch: true,
    of: "dispatch",
    off: "off (dispatch.enabled)",
    big: (now) => [number(now.value("dispatch_depth")), "events waiting"],
    rows: (now) => [
      ["dispatched", `${number(now.rate("events_dispatched_total"))}/s`],
      ["retries", number(now.value("dispatch_retries_total"))],
      ["dead letters", number(now.value("dispatch_dead_letters")), now.value("dispatch_dead_letters") > 0],
    ],
    line: (now) => now.gauges("dispatch_depth"),
  },
  {
    name: "archive",
    title: "Archive",
    href: "#/objects",
    big: (now) => [number(now.grown("objects_written_total")), "objects in the last minute"],
    rows: (now) => [
      ["written in all", number(now.value("objects_written_total"))],
      ["size, p50", bytes(now.quantile("object_bytes", "0.5"))],
      ["parts of large texts", number(now.value("text_parts_written_total"))],
    ],
    line: (now) => now.rates("objects_written_total"),
  },
  {
    name: "freshness",
    title: "Freshness",
    isBranch: true,
    big: (now, { settings }) => [
      duration(now.quantile("freshness_milliseconds", "0.99")),
      `p99, promised ${duration(settings.freshness_ms)}`,
    ],
    isBad: (now, { settings }) => now.quantile("freshness_milliseconds", "0.99") > settings.freshness_ms,
    rows: (now) => [
      ["p50", duration(now.quantile("freshness_milliseconds", "0.5"))],
      ["longest", duration(now.quantile("freshness_milliseconds", "1"))],
    ],
    line: (now) => now.quantiles("freshness_milliseconds", "0.99"),
  },
];

/** By reason, as the dashboard has them. */
const REFUSALS = [
  ["requests_filtered_total", "by tier"],
  ["credentials_refused_total", "by credential"],
  ["quotas_exceeded_total", "by quota"],
  ["events_rejected_total", "events rejected"],
];

/** Makes the cards. Returns what shows newer numbers in them. */
export function pipeline(container, state) {
  const cards = CARDS.map((card) => ({ card, ...drawn(card, state.settings) }));
  container.replaceChildren(...cards.map(({ section }) => section));
  return (history, newer) => {
    for (const { card, show } of cards) if (show) show(card, history, newer);
  };
}

function drawn({ name, title, isBranch, href, of, off }, settings) {
  const kind = `card ${name}${isBranch ? " branch" : ""}`;
  const heading = el("h3", {}, href && settings.shows_data ? el("a", { href }, title) : title);
  if (of && !settings[of]) {
    return { section: el("article", { class: `${kind} off` }, heading, el("p", { class: "unit muted" }, off)) };
  }
  const big = el("span", { class: "big" }, "–");
  const unit = el("span", { class: "unit muted" }, "");
  const rows = el("dl", {});
  const { picture, draw } = sparkline();
  const section = el("article", { class: kind }, heading, el("p", { class: "number" }, big, unit), picture, rows);
  const show = (card, history, state) => {
    const [value, label] = card.big(history, state);
    text(big, value);
    text(unit, label);
    section.classList.toggle("bad", card.isBad?.(history, state) ?? false);
    showRows(rows, card.rows(history, state));
    draw(history, card.line(history));
  };
  return { section, show };
}

function showRows(list, rows) {
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach(([label, value, isBad], index) => {
    const row = list.children[index] ?? list.appendChild(el("div", {}, el("dt"), el("dd")));
    text(row.firstChild, label);
    text(row.lastChild, value);
    row.classList.toggle("bad", isBad ?? false);
  });
}

function sum(lines) {
  return lines[0].map((_value, index) => lines.reduce((total, line) => total + (line[index] ?? 0), 0));
}

function age(seconds) {
  return seconds ? duration(seconds * 1000) : "–";
}

/** `shardId-000000000012` as `shard 12`. */
function shardName(id) {
  return id.replace(/^shardId-0*(?=\d)/, "shard ");
}
