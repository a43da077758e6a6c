// What a newcomer sees, with its times: a clone, `cargo run --release` from nothing, the first event, the page with it in both colour
// schemes at two widths. Writes the transcript. The crates' sources may be downloaded already; nothing is compiled before.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { SCHEMES, SIZES, open, serious, start } from "./browser.mjs";

const { values: given } = parseArgs({
  options: {
    repository: { type: "string" },
    modules: { type: "string" },
    transcript: { type: "string" },
    /** A program that is compiled already, in place of `cargo run --release`: for a try of this script. */
    tidegate: { type: "string" },
  },
});
const PICTURES = join(dirname(given.transcript), "first-minutes");
const PICTURE_BYTES = 150_000;
const EVENT = '{"tenant_id":"acme","log_id":"123","text":"User 555-0199 accessed /reports"}';

const folder = mkdtempSync(join(tmpdir(), "tidegate-first-"));
const begun = performance.now();
const lines = [];
let run;
try {
  await newcomer();
  writeFileSync(given.transcript, page());
  console.log(`${given.transcript} is written`);
} finally {
  run?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

async function newcomer() {
  command("git clone tidegate && cd tidegate");
  execFileSync("git", ["clone", "--quiet", resolve(given.repository), join(folder, "tidegate")]);
  const commit = execFileSync("git", ["-C", join(folder, "tidegate"), "rev-parse", "--short", "HEAD"], { encoding: "utf8" });
  note(`cloned, at ${commit.trim()}`);

  // A port that the system chooses, so that the transcript can be made beside another run.
  command("cargo run --release");
  const environment = { ...process.env };
  delete environment.CARGO_TARGET_DIR;
  const options = { cwd: join(folder, "tidegate"), env: environment, stdio: ["ignore", "pipe", "ignore"] };
  const local = ["local", "--listen", "127.0.0.1:0"];
  run = given.tidegate
    ? spawn(resolve(given.tidegate), local, options)
    : spawn("cargo", ["run", "--release", "--quiet", "--", ...local], options);
  const url = await listens();
  note(given.tidegate ? "listening, with a program that was compiled before" : "compiled and listening");

  command(`curl -i localhost:8080/ingest -H 'X-Customer-Tier: pro' -H 'Content-Type: application/json' \\\n    -d '${EVENT}'`);
  const headers = { "X-Customer-Tier": "pro", "Content-Type": "application/json" };
  const answer = await fetch(`${url}/ingest`, { method: "POST", headers, body: EVENT });
  print(`HTTP/1.1 ${answer.status}`, await answer.text());
  assert.equal(answer.status, 202);
  note("the first 202");

  const { browser, axe } = await start(given.modules);
  try {
    const first = await open(browser, url);
    await first.page.locator(".scrolls tbody tr", { hasText: "123" }).waitFor();
    note("the event is on the page, as an item");
    await first.page.goto(`${url}/_/#/event/acme/123`);
    await first.page.locator(".way li.done", { hasText: "Archive" }).waitFor();
    note("and in the archive");
    await first.close();
    mkdirSync(PICTURES, { recursive: true });
    for (const colorScheme of SCHEMES) {
      for (const [size, viewport] of Object.entries(SIZES)) {
        const { page, close } = await open(browser, url, "#/event/acme/123", { colorScheme, viewport });
        await page.locator(".way li.done", { hasText: "Archive" }).waitFor();
        assert.deepEqual(await serious(page, axe), [], `axe, ${colorScheme}, ${size}`);
        const path = join(PICTURES, `${colorScheme}-${size}.png`);
        await page.screenshot({ path });
        assert.ok(statSync(path).size < PICTURE_BYTES, `${path} has ${statSync(path).size} bytes`);
        await close();
      }
    }
    note("four screenshots; no error in the console, axe finds nothing serious");
  } finally {
    await browser.close();
  }
  run.kill("SIGINT");
  await once(run, "exit");
}

/** Prints what the program says until it says where it listens, as it would be with its usual port. */
async function listens() {
  for await (const line of createInterface(run.stdout)) {
    if (line.trim()) print(line.replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:8080"));
    const url = line.match(/^ *requests +(http:\S+)\/ingest/)?.[1];
    if (url) {
      run.stdout.resume();
      return url;
    }
  }
  throw new Error("`cargo run --release` did not start");
}

function command(text) {
  lines.push("", `$ ${text}`);
}

function print(...texts) {
  lines.push(...texts);
}

function note(what) {
  const seconds = (performance.now() - begun) / 1000;
  const minutes = Math.floor(seconds / 60);
  const time = `${minutes}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  lines.push(`[${time}] ${what}`);
  console.log(`[${time}] ${what}`);
}

function page() {
  const model = cpus()[0]?.model.replace(/\s+/g, " ").trim() ?? "unknown";
  const kind = given.tidegate ? " The program was compiled already, so these are no newcomer's times." : "";
  const picture = (size) => `<picture>
  <source media="(prefers-color-scheme: dark)" srcset="first-minutes/dark-${size}.png">
  <img src="first-minutes/light-${size}.png" alt="The page with the numbers of the first event, at ${SIZES[size].width} px">
</picture>`;
  return `# The first minutes

What a newcomer does and sees, from the clone to the event on the page, written by \`make first-minutes\`. In brackets is the time since the
beginning, in minutes and seconds. It was measured on ${cpus().length} cores (${model}), with the crates' sources downloaded.${kind}

\`\`\`
${lines.join("\n").trim()}
\`\`\`

The page then, at two widths; both colour schemes are in [first-minutes](first-minutes). Each was opened without an error in the console, and
[axe](https://github.com/dequelabs/axe-core) found nothing serious.

${picture("wide")}

${picture("narrow")}
`;
}
