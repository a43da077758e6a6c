// Sends events by fetch and by undici, each request twice. Bodies are compressed while they are sent, so they have no length.

import { Readable } from "node:stream";
import { createGzip } from "node:zlib";

import { request } from "undici";

const url = `http://${process.argv[2]}/events`;
const EVENTS = 1000;

function* lines() {
  for (let n = 0; n < EVENTS; n++) yield `${JSON.stringify({ id: `n-${n}`, text: `event ${n}, ünï ☂` })}\n`;
}

const headers = (tenant) => ({
  "Content-Type": "application/x-ndjson",
  "Content-Encoding": "gzip",
  "X-Customer-Tier": "pro",
  "X-Tenant-ID": tenant,
});

async function byFetch() {
  const body = ReadableStream.from(lines()).pipeThrough(new TextEncoderStream()).pipeThrough(new CompressionStream("gzip"));
  const response = await fetch(url, { method: "POST", headers: headers("fetch"), body, duplex: "half" });
  return [response.status, (await response.json()).accepted];
}

async function byUndici() {
  const body = Readable.from(lines()).pipe(createGzip());
  const response = await request(url, { method: "POST", headers: headers("undici"), body });
  return [response.statusCode, (await response.body.json()).accepted];
}

for (const send of [byFetch, byFetch, byUndici, byUndici]) {
  const [status, accepted] = await send();
  if (status !== 202 || accepted !== EVENTS) throw new Error(`${send.name}: ${status}, ${accepted} accepted`);
}
