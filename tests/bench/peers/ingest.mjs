// The ingest function as AWS's samples write it in JavaScript: the event of a Function URL to records and an answer. It checks and
// answers what Tidegate does for JSON without credentials. The stream is a list.
//
// `ingest.mjs FILE` runs it on each line of the file, each time that it reads a line, as `work serve ingest FILE` does.

import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import { serve } from "./serve.mjs";

const TIERS = ["free", "pro", "enterprise"];
const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const TEXT = ["text", "payload", "body", "message"];
const TIME = ["event_timestamp", "timestamp", "event_time"];
const ID = ["event_id", "log_id", "id"];
// Kinesis bills a record by 25 KB begun.
const PUT_UNIT_BYTES = 25_600;

class Refused extends Error {}

function handler(event, stream) {
  let lines;
  let value;
  try {
    const { headers } = event;
    const tier = headers["x-customer-tier"];
    if (!TIERS.includes(tier)) throw new Refused(`tier \`${tier}\` is not allowed`);
    if (headers["content-type"]?.split(";")[0] !== "application/json") throw new Refused("the content type is not supported");
    value = JSON.parse(event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body);
    const facts = { tier, source: "json_upload", received_at: new Date().toISOString() };
    const trace = headers.traceparent || headers["x-amzn-trace-id"];
    const named = headers["x-tenant-id"];
    lines = (Array.isArray(value) ? value : [value]).map((item) => makeLine(item, facts, trace, named));
  } catch (error) {
    if (error instanceof Refused || error instanceof SyntaxError) return answer(400, { status: "error", detail: error.message });
    throw error;
  }
  put(lines, stream);
  if (!Array.isArray(value)) return answer(202, { status: "success", event_id: lines[0].id });
  const events = lines.map(({ id }, index) => ({ index, status: "accepted", event_id: id }));
  return answer(202, { status: "success", accepted: lines.length, events });
}

function makeLine(item, facts, trace, named) {
  if (item === null || typeof item !== "object" || Array.isArray(item)) throw new Refused("not a JSON object");
  const fields = { ...item };
  const taken = (names, read = (value) => value) => {
    for (const name of names) {
      const value = name in fields ? read(fields[name]) : undefined;
      if (value === undefined) continue;
      delete fields[name];
      return value;
    }
    return undefined;
  };
  const tenant = taken(["tenant_id"]) ?? named;
  if (typeof tenant !== "string" || !TENANT.test(tenant) || (named && named !== tenant)) {
    throw new Refused(`tenant id \`${tenant}\` is not allowed`);
  }
  const id = taken(ID) ?? randomUUID();
  if (typeof id !== "string" || Buffer.byteLength(id) > 256 || CONTROL.test(id)) throw new Refused(`event id \`${id}\` is not allowed`);
  const event_time = taken(TIME, eventTime);
  const text = taken(TEXT, (value) => (typeof value === "string" ? value : undefined)) ?? "";
  return {
    v: 1, id, admission_id: randomUUID(), tenant, ...facts, event_time, text,
    fields: Object.keys(fields).length > 0 ? fields : undefined,
    trace,
  };
}

function eventTime(value) {
  const time = new Date(typeof value === "number" && value < 100_000_000_000 ? value * 1000 : value);
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}

// A record for each tenant, compressed if it is larger than what Kinesis bills at least.
function put(lines, stream) {
  const tenants = new Map();
  for (const line of lines) {
    const text = `${JSON.stringify(line)}\n`;
    const earlier = tenants.get(line.tenant);
    if (earlier) earlier.push(text);
    else tenants.set(line.tenant, [text]);
  }
  for (const [PartitionKey, texts] of tenants) {
    const data = Buffer.from(texts.join(""));
    stream.push({ PartitionKey, Data: data.length >= PUT_UNIT_BYTES ? gzipSync(data, { level: 1 }) : data });
  }
}

function answer(statusCode, body) {
  return { statusCode, headers: { "content-type": "application/json", "cache-control": "no-store" }, body: JSON.stringify(body) };
}

// The lines of all records, as `work serve` writes them.
function* written(stream) {
  for (const { PartitionKey, Data } of stream) {
    const plain = Data.readUInt16BE() === 0x1f8b ? gunzipSync(Data) : Data;
    for (const line of plain.toString().trimEnd().split("\n")) yield { partition_key: PartitionKey, line: JSON.parse(line) };
  }
}

const payloads = readFileSync(process.argv[2], "utf8").split("\n");
await serve((folder) => {
  const stream = [];
  const answers = payloads.map((payload) => JSON.stringify(handler(JSON.parse(payload), stream)));
  return () => {
    writeFileSync(join(folder, "answers.ndjson"), answers.join("\n"));
    writeFileSync(join(folder, "lines.ndjson"), Array.from(written(stream), (line) => JSON.stringify(line)).join("\n"));
  };
});
