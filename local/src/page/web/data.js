// What is stored, to look into: a panel for each address after the `#`.

import { bytes, clockTime, duration, el, number } from "./dom.js";

const BETWEEN_MS = 4_000;
/** How often an event is looked for after it was sent. */
const FOLLOW_MS = 1_000;
/** No event takes longer, unless something is wrong. */
const FOLLOW_LONGEST_MS = 30_000;

let settings;
let panel;
/** Reads the list of the panel again, if it is one. */
let readAgain = null;
/** Rises with each panel, so that an answer for an old one is not shown. */
let shown = 0;

const PANELS = { items, objects, lines, tenant, event, quarantine, send };

export function panels(container, now) {
  [panel, settings] = [container, now];
  addEventListener("hashchange", () => open(true));
  open(false);
  setInterval(refresh, BETWEEN_MS);
}

function open(isMove) {
  const [, name = "items", ...parts] = address();
  shown += 1;
  for (const link of document.querySelectorAll("nav a")) {
    const isThis = link.hash === `#/${name === "lines" ? "objects" : name}`;
    if (isThis) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  panel.replaceChildren();
  readAgain = null;
  const make = Object.hasOwn(PANELS, name) ? PANELS[name] : items;
  if (!settings.shows_data && make !== send) {
    note("Stored data is not shown here, because requests need a credential or events cannot be read back.");
  } else {
    make(...parts);
  }
  if (isMove) document.getElementById("look").scrollIntoView({ block: "nearest" });
}

/** The parts of the address after the `#`. One that cannot be read is that of the items. */
function address() {
  try {
    return location.hash.split("/").map(decodeURIComponent);
  } catch {
    return [];
  }
}

/** Lists are read again, unless someone is in them. */
function refresh() {
  if (readAgain && !document.hidden && !panel.matches(":hover, :focus-within")) readAgain();
}

/** Reads what a panel shows. Shows the error, if there is one. */
async function read(path, parameters, show) {
  const of = shown;
  const query = new URLSearchParams(parameters);
  try {
    const answer = await fetch(`api/${path}?${query}`);
    const found = await answer.json();
    if (of !== shown) return;
    if (found.error) note(found.error);
    else show(found);
  } catch {
    if (of === shown) note("The local run does not answer.");
  }
}

function note(message) {
  panel.replaceChildren(el("p", { class: "empty" }, message));
}

function items() {
  readAgain = () =>
    read("items", {}, ({ items }) => {
      if (items.length === 0) return empty();
      panel.replaceChildren(
        lead(`The ${count(items.length, "item")} that ${items.length === 1 ? "was" : "were"} stored last.`),
        eventTable("Items", items),
      );
    });
  readAgain();
}

function empty() {
  const send = el("a", { href: "#/send" }, "Send an event");
  panel.replaceChildren(el("p", { class: "empty" }, "Nothing is stored yet. ", send, ", and it is here within five seconds."));
}

function objects() {
  readAgain = () =>
    read("objects", {}, ({ objects }) => {
      if (objects.length === 0) return empty();
      const rows = objects.map(({ key, error, lines, bytes: size, tenants, oldest }) =>
        error
          ? [key, error, "", "", ""]
          : [
              oldest && clockTime(oldest),
              el("a", { href: `#/lines/${encodeURIComponent(key)}` }, key.replace(/^events\//, "")),
              number(lines),
              tenants === null ? "many" : number(tenants),
              bytes(size),
            ],
      );
      panel.replaceChildren(
        lead(`The ${count(objects.length, "archive object")} written last, below events/ in the bucket.`),
        table("Archive objects", ["first event", "object", "lines", "tenants", "size"], rows),
      );
    });
  readAgain();
}

function lines(key, from = "0") {
  read("lines", { key, from }, (found) => {
    if (!found.found) return note(`The object ${key} does not exist.`);
    const last = found.from + found.lines.length;
    const next = found.more && el("a", { href: `#/lines/${encodeURIComponent(key)}/${last}` }, "Next lines");
    panel.replaceChildren(
      el("p", { class: "lead" }, el("code", {}, key)),
      lead(`Lines ${found.from + 1} to ${last} of ${number(found.count)}; ${bytes(found.bytes)} compressed. `, next || null),
      eventTable("Lines", found.lines),
    );
  });
}

/** One tenant's events, by the API that clients use. */
function tenant(name = "", cursor = "") {
  const input = field("Tenant", { name: "tenant", value: name, list: "tenants", required: true, autocomplete: "off" });
  const found = el("div", {});
  const form = el("form", { class: "row" }, input, el("button", {}, "Show events"));
  onSubmit(form, ({ tenant }) => (location.hash = `#/tenant/${encodeURIComponent(tenant.trim())}`));
  panel.replaceChildren(form, found);
  tenants(form);
  if (!name) return found.replaceChildren(lead("Type a tenant, or choose one."));
  const query = new URLSearchParams({ limit: 50, ...(cursor && { cursor }) });
  const of = shown;
  const show = (page) => {
    if (of !== shown) return;
    if (!page.events) return found.replaceChildren(lead(page.detail));
    if (page.events.length === 0) return found.replaceChildren(lead(`The tenant ${name} has no events.`));
    const events = page.events.map(({ event_id: id, tenant_id: tenant, tier, received_at, text }) => {
      return { id, tenant, tier, received_at, text: text?.slice(0, 200) };
    });
    const next =
      page.next_cursor &&
      el("a", { href: `#/tenant/${encodeURIComponent(name)}/${encodeURIComponent(page.next_cursor)}` }, "Older events");
    found.replaceChildren(
      lead(`${count(events.length, "event")}, newest first. `, next || null),
      eventTable(`Events of ${name}`, events),
    );
  };
  const look = () =>
    fetch(`/events?${query}`, { headers: { "X-Tenant-ID": name } })
      .then((answer) => answer.json())
      .then(show)
      .catch(() => of === shown && found.replaceChildren(lead("The local run does not answer.")));
  look();
  // Older pages do not change.
  if (!cursor) readAgain = look;
}

/** Offers the tenants that have items. */
function tenants(form) {
  const list = el("datalist", { id: "tenants" });
  form.append(list);
  read("items", {}, ({ tenants }) => list.replaceChildren(...tenants.map((value) => el("option", { value }))));
}

/** The way of one event: where it is, since when, and what is stored of it. */
function event(name = "", id = "") {
  const form = el(
    "form",
    { class: "row" },
    field("Tenant", { name: "tenant", value: name, list: "tenants", required: true, autocomplete: "off" }),
    field("Event id", { name: "id", value: id, required: true, autocomplete: "off" }),
    el("button", {}, "Show its way"),
  );
  onSubmit(form, ({ tenant, id }) => (location.hash = eventLink(tenant.trim(), id)));
  const found = el("div", { role: "status" });
  panel.replaceChildren(form, found);
  tenants(form);
  if (!name || !id) return found.replaceChildren(lead("Each event has a tenant and an id. The answer to a request has the id."));
  const until = Date.now() + FOLLOW_LONGEST_MS;
  let before;
  const look = () => {
    const of = shown;
    read("event", { tenant: name, id }, (way) => {
      const isWaiting = Date.now() < until;
      const now = JSON.stringify([way, isWaiting]);
      // It is said aloud only when it changes.
      if (now !== before) found.replaceChildren(...(way.found ? wayOf(way) : [notYet(name, id, isWaiting)]));
      before = now;
      const isDone = way.line && (way.dispatch || !settings.dispatch);
      if (!isDone && isWaiting) setTimeout(() => of === shown && look(), FOLLOW_MS);
    });
  };
  look();
}

function notYet(name, id, isWaiting) {
  return el(
    "p",
    { class: "empty" },
    `There is no item ${id} of ${name}${isWaiting ? " yet" : ""}. `,
    isWaiting ? "It is looked for every second." : "It may never have been accepted, or be in quarantine, or have expired.",
  );
}

function wayOf({ item, received_at, processed_at, origin, record, object, line, dispatch }) {
  const since = (time) => (time ? `+${duration(Math.max(0, new Date(time) - new Date(received_at)))}` : "");
  const where = `${origin.shard}, record ${origin.sequence_number}, line ${origin.position}`;
  const steps = [
    ["Ingest", "received", clockTime(received_at), `${item.source}, tier ${item.tier}`],
    [
      "Stream",
      record ? `record of ${bytes(record.bytes)}` : "the record has expired",
      since(record?.arrival),
      where,
    ],
    ["Items", "stored", since(processed_at), item.truncated ? "with the beginning of its text" : "whole"],
    object
      ? ["Archive", line ? "stored" : "the line was not found", since(object.written), objectLink(object)]
      : ["Archive", "not yet", "", "an object is written every few seconds"],
  ];
  if (settings.dispatch) steps.push(["Dispatch", dispatch ?? "not yet", "", ""]);
  const list = steps.map(([part, what, when, more]) =>
    el(
      "li",
      { class: what === "not yet" ? "waiting" : "done" },
      el("strong", {}, part),
      el("span", {}, what),
      el("span", { class: "when" }, when),
      el("span", { class: "muted" }, more),
    ),
  );
  return [
    el("ol", { class: "way" }, ...list),
    details("The item", JSON.stringify(item, null, 2)),
    line && details("The archive line", pretty(line)),
  ].filter(Boolean);
}

function objectLink({ key, bytes: size, lines }) {
  const link = el("a", { href: `#/lines/${encodeURIComponent(key)}` }, key);
  return el("span", {}, link, `, ${count(lines, "line")}, ${bytes(size)}`);
}

function details(title, body) {
  const about = el("pre", { tabindex: "0", role: "region", "aria-label": title }, body);
  return el("details", { open: true }, el("summary", {}, title), about);
}

function pretty(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

function quarantine() {
  readAgain = () =>
    read("quarantine", {}, ({ lines, more, days }) => {
      if (lines.length === 0) return note(`Nothing was put into quarantine in the last ${days} days.`);
      panel.replaceChildren(
        lead(
          `${more ? "The newest " : ""}${count(lines.length, "line")}, of the last ${days} days. `,
          el("code", {}, "tidegate redrive"),
          " shows what can be put back.",
        ),
        el("ul", { class: "quarantined" }, ...lines.map(quarantined)),
      );
    });
  readAgain();
}

function quarantined({ key, error, too_large, size, reason, detail, tenant, id, arrival, shard, bytes: encoded }) {
  if (error || too_large) {
    return el("li", {}, el("p", {}, el("code", {}, key)), el("p", {}, error ?? `too large to be shown here: ${bytes(size)}`));
  }
  const data = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  return el(
    "li",
    {},
    el("p", {}, el("code", { class: "reason" }, reason), ` ${detail}`),
    el(
      "p",
      { class: "muted" },
      [clockTime(arrival), tenant && `tenant ${tenant}`, id && `event ${id}`, shard].filter(Boolean).join(", "),
    ),
    el("pre", { tabindex: "0", role: "region", "aria-label": `Bytes of ${id ?? "a record"}` }, readable(data)),
    size > data.length ? el("p", { class: "muted" }, `the first ${bytes(data.length)} of ${bytes(size)}`) : null,
  );
}

/** Bytes as text, or in hexadecimal where they are none. */
function readable(data) {
  const decoded = new TextDecoder().decode(data);
  const isText = !/[\u0000-\u0008\u000e-\u001f]/.test(decoded) && !decoded.slice(0, -1).includes("\ufffd");
  if (isText) return decoded;
  const rows = [];
  for (let at = 0; at < data.length; at += 16) {
    const part = [...data.slice(at, at + 16)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const ascii = part.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    rows.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${ascii}`);
  }
  return rows.join("\n");
}

/** Sends an event as a client does. */
function send() {
  if (settings.auth === "signature") return note("Requests must be signed here, which this form cannot do.");
  const tiers = settings.tiers.map((tier) => el("option", { value: tier }, tier));
  const answer = el("div", { role: "status", class: "answer" });
  const form = el(
    "form",
    { class: "send" },
    ...(settings.auth === "none"
      ? [
          field("Tenant", { name: "tenant", value: "acme", required: true, autocomplete: "off" }),
          el("label", {}, "Tier", el("select", { name: "tier" }, ...tiers)),
        ]
      : [field("API key", { name: "key", type: "password", required: true, autocomplete: "off" })]),
    field("Event id, if it has one", { name: "id", autocomplete: "off" }),
    el(
      "label",
      { class: "wide" },
      "Text",
      el("textarea", { name: "text", rows: 3, required: true }, "User 555-0199 accessed /reports"),
    ),
    el("button", {}, "Send"),
  );
  onSubmit(form, async ({ tenant, tier, key, id, text: words }) => {
    const headers = { "Content-Type": "application/json" };
    if (key) headers.Authorization = `Bearer ${key}`;
    else headers["X-Customer-Tier"] = tier;
    const event = { ...(tenant && { tenant_id: tenant.trim() }), ...(id && { id }), text: words };
    answer.replaceChildren(lead("Sending …"));
    try {
      const started = performance.now();
      const response = await fetch("/ingest", { method: "POST", headers, body: JSON.stringify(event) });
      const body = await response.json();
      const took = duration(Math.round(performance.now() - started));
      const link =
        response.status === 202 && tenant && settings.shows_data
          ? el("a", { href: eventLink(tenant.trim(), body.event_id) }, "Follow this event")
          : null;
      answer.replaceChildren(
        el("p", { class: response.ok ? "good" : "bad" }, `${response.status} within ${took}. `, link),
        el("pre", { tabindex: "0", role: "region", "aria-label": "The answer" }, JSON.stringify(body, null, 2)),
      );
    } catch {
      answer.replaceChildren(lead("The local run does not answer."));
    }
  });
  panel.replaceChildren(lead("Sends a request to ", el("code", {}, "/ingest"), ", as any client does."), form, answer);
}

function onSubmit(form, use) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    use(Object.fromEntries(new FormData(form)));
  });
}

function field(label, attributes) {
  return el("label", {}, label, el("input", attributes));
}

function lead(...words) {
  return el("p", { class: "lead" }, ...words);
}

function eventLink(tenant, id) {
  return `#/event/${encodeURIComponent(tenant)}/${encodeURIComponent(id)}`;
}

function eventTable(label, events) {
  const rows = events.map(({ id, tenant, tier, received_at, text: words }) => [
    clockTime(received_at),
    el("a", { href: `#/tenant/${encodeURIComponent(tenant)}` }, tenant),
    tier,
    el("a", { href: eventLink(tenant, id) }, id),
    words ?? "(stored apart)",
  ]);
  return table(label, ["received", "tenant", "tier", "event", "text"], rows);
}

function table(label, heads, rows) {
  return el(
    "div",
    { class: "scrolls", tabindex: "0", role: "region", "aria-label": label },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, index) => el("td", { "data-of": heads[index] }, cell))))),
    ),
  );
}

function count(many, what) {
  return many === 1 ? `1 ${what}` : `${number(many)} ${what}s`;
}
