// A local run in a temporary folder, on a port that the system chooses, and events for it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Starts it. It is killed, and its folder deleted, by `end`. */
export async function localRun(tidegate, variables = {}) {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-page-"));
  const options = { cwd: folder, env: { ...process.env, ...variables }, stdio: ["ignore", "pipe", "ignore"] };
  const run = spawn(tidegate, ["local", "--listen", "127.0.0.1:0"], options);
  const end = async () => {
    run.kill("SIGKILL");
    if (run.exitCode === null && run.signalCode === null) await once(run, "exit");
    rmSync(folder, { recursive: true });
  };
  for await (const line of createInterface(run.stdout)) {
    const url = line.match(/^ *requests +(http:\S+)\/ingest/)?.[1];
    if (url) {
      run.stdout.resume();
      return { url, end };
    }
  }
  await end();
  throw new Error("`tidegate local` did not start");
}

/** Sends one event. Returns the status of the answer. */
export async function send(url, event, tier = "pro") {
  const headers = { "Content-Type": "application/json", "X-Customer-Tier": tier };
  const answer = await fetch(`${url}/ingest`, { method: "POST", headers, body: JSON.stringify(event) });
  await answer.arrayBuffer();
  return answer.status;
}

const TENANTS = ["acme", "beta_inc", "contoso", "northwind", "initech", "umbrella"];
const TEXTS = [
  "User 555-0199 accessed /reports",
  "login failed for jane.doe@example.com from 203.0.113.7",
  "payment of 42.50 EUR with card 4111 1111 1111 1111",
  "disk full on node-7",
  "cache miss, key user:1882, 13 ms",
  "deploy of api 2.31.0 done in 48 s",
];

/** Sends events of several tenants at a changing rate, some of which are refused, until `seconds` have passed. */
export async function traffic(url, seconds) {
  const run = Date.now().toString(36);
  const until = Date.now() + seconds * 1000;
  for (let n = 0; Date.now() < until; n++) {
    const many = 6 + Math.round(4 * Math.sin(n / 90)) + (n % 9 === 0 ? 5 : 0);
    const sent = Array.from({ length: many }, (_, part) => {
      const kind = (n * 31 + part * 17) % 100;
      const tenant_id = TENANTS[(kind * 7) % TENANTS.length];
      const event = { tenant_id, id: `${run}-${n}-${part}`, text: TEXTS[(kind * 5) % TEXTS.length], host: `node-${kind % 9}` };
      if (kind === 41) return send(url, event, "gold");
      if (kind === 67) return send(url, { ...event, tenant_id: "no/slash" });
      // An id that another event has: it is quarantined.
      if (kind === 13 && n % 12 === 0) return send(url, { ...event, tenant_id: "acme", id: "order-1", text: `order ${n}` });
      return send(url, event);
    });
    await Promise.all(sent);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
