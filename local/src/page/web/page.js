// Asks for the state every two seconds, and shows it.

import { charts, History } from "./charts.js";
import { panels } from "./data.js";
import { clockTime, el, text } from "./dom.js";
import { pipeline } from "./pipeline.js";

const BETWEEN_MS = 2_000;

const find = (id) => document.getElementById(id);
const history = new History();
let show = null;
let started = null;
let isPaused = false;

/** Shows each state until the page is closed. While it is paused or in the background, it asks for nothing. */
async function follow() {
  for (;;) {
    if (!isPaused && !document.hidden) await look();
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
  }
}

async function look() {
  let state;
  try {
    const answer = await fetch(`api/state${history.last ? `?after=${history.last}` : ""}`);
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    state = await answer.json();
  } catch {
    status("unreachable", "not reachable", [{ code: "", message: "The local run does not answer. Is it still running?" }]);
    return;
  }
  // It was started again, with other settings perhaps.
  if (started !== null && state.started !== started) return location.reload();
  started = state.started;
  history.add(state.history);
  show ??= start(state);
  show(state);
}

function start(state) {
  const showPipeline = pipeline(find("pipeline"), state);
  const showCharts = charts(find("charts"), find("moment"), state.settings);
  // All at once, so that nothing moves.
  find("seen").hidden = false;
  panels(find("panel"), state.settings);
  return (newer) => {
    showPipeline(history, newer);
    showCharts(history);
    status(newer.status, newer.status, newer.reasons);
    text(find("since"), `version ${newer.version}, seen at ${clockTime(newer.now)}`);
  };
}

/** Says it aloud only when it changes. */
function status(kind, words, reasons) {
  const shown = find("status");
  if (shown.dataset.status !== kind) {
    shown.dataset.status = kind;
    text(shown, words);
    text(find("said"), `The pipeline is ${words}.`);
  }
  const list = find("reasons");
  const lines = reasons.map(({ code, message, runbook }) => [code, message, runbook].filter(Boolean).join("\n"));
  if (list.dataset.lines === lines.join("\n")) return;
  list.dataset.lines = lines.join("\n");
  if (reasons.length === 0) return list.replaceChildren(el("li", { class: "none muted" }, "Nothing is wrong."));
  list.replaceChildren(
    ...reasons.map(({ code, message, runbook }) =>
      el("li", {}, code && el("code", {}, code), message, runbook && el("span", { class: "muted" }, runbook)),
    ),
  );
}

find("pause").addEventListener("click", (event) => {
  isPaused = !isPaused;
  event.target.setAttribute("aria-pressed", isPaused);
  text(event.target, isPaused ? "Go on" : "Pause");
});

follow();
