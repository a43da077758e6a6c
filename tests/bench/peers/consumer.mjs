// The consumer as AWS's samples write it in JavaScript. It does the same work as Tidegate's and stores the same; what can fail is
// not handled.
//
// `consumer.mjs FILE` runs it each time that it reads a line, as `work serve consumer FILE` does.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import { redact } from "./rules.mjs";
import { serve } from "./serve.mjs";

const HELD_BYTES = 150_000;
const DAYS = { free: 30, pro: 90, enterprise: 365 };

// Stores the items in `table`, and returns the archive object.
function handler(event, table) {
  const now = new Date();
  const tenants = new Map();
  for (const record of event.Records) {
    const { data, sequenceNumber, approximateArrivalTimestamp } = record.kinesis;
    const [shard] = record.eventID.split(":");
    const arrival = new Date(Math.round(approximateArrivalTimestamp * 1000)).toISOString();
    for (const [position, line] of lines(Buffer.from(data, "base64")).entries()) {
      const origin = { shard, sequence_number: sequenceNumber, position };
      const message = read(JSON.parse(line), origin, arrival);
      const redacted = redact(message.text);
      const item = makeItem(message, redacted, origin, now);
      const key = `${item.pk} ${item.sk}`;
      const there = table.get(key);
      if (there) {
        if (there.hash !== item.hash) throw new Error("the id was used again");
        continue;
      }
      table.set(key, item);
      const archived = JSON.stringify({ ...message, text: redacted, processed_at: now.toISOString(), ...origin });
      const earlier = tenants.get(message.tenant);
      if (earlier) earlier.push(archived);
      else tenants.set(message.tenant, [archived]);
    }
  }
  const members = [...tenants.keys()].sort().map((tenant) => gzipSync(`${tenants.get(tenant).join("\n")}\n`, { level: 3 }));
  return Buffer.concat(members);
}

// The lines of a record: plain, in gzip, or an aggregate of the Kinesis Producer Library.
function lines(data) {
  if (data.readUInt32BE() === 0xf3899ac2) {
    const records = fields(data.subarray(4, -16)).filter(([number]) => number === 3);
    return records.flatMap(([, record]) =>
      fields(record).filter(([number]) => number === 3).flatMap(([, value]) => lines(value)),
    );
  }
  const plain = data.readUInt16BE() === 0x1f8b ? gunzipSync(data) : data;
  return plain.toString().split("\n").filter((line) => line !== "");
}

// The fields of a message of Protocol Buffers that has only varints and bytes.
function fields(message) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++];
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  const found = [];
  while (at < message.length) {
    const tag = varint();
    let value = varint();
    if ((tag & 7) === 2) {
      at += value;
      value = message.subarray(at - value, at);
    }
    found.push([tag >> 3, value]);
  }
  return found;
}

// An event line; or a foreign producer's object, which is made one.
function read(message, origin, arrival) {
  if (message.admission_id) return message;
  const taken = (...names) => {
    const name = names.find((name) => name in message);
    if (name === undefined) return undefined;
    const value = message[name];
    delete message[name];
    return value;
  };
  const tenant = taken("tenant_id");
  const text = taken("text", "payload", "body", "message");
  const digest = createHash("sha256").update(`${origin.shard}\n${origin.sequence_number}\n${origin.position}`).digest();
  digest[6] = (digest[6] & 0x0f) | 0x80;
  digest[8] = (digest[8] & 0x3f) | 0x80;
  const admission_id = digest.toString("hex", 0, 16).replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
  const id = taken("event_id", "log_id", "id") ?? admission_id;
  const facts = { v: 1, id, admission_id, tenant, tier: "free", source: "json_upload", received_at: arrival };
  return { ...facts, text, fields: message };
}

function makeItem(message, redacted, origin, now) {
  const livesFrom = Math.max(Date.parse(message.received_at), now.getTime());
  const item = {
    pk: `tenants/${message.tenant}`,
    sk: `processed_logs/${encodeURIComponent(message.id).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)}`,
    source: message.source,
    original_text: held(message.text),
    modified_data: held(redacted),
    processed_at: now.toISOString(),
    received_at: message.received_at,
    tier: message.tier,
    origin: shortOrigin(origin),
    admission: Buffer.from(message.admission_id.replaceAll("-", ""), "hex").toString("base64url"),
    hash: contentHash(message),
    expires_at: Math.floor(livesFrom / 1000) + DAYS[message.tier] * 86_400,
  };
  if (Object.keys(message.fields ?? {}).length > 0) item.fields = JSON.stringify(message.fields);
  for (const name of ["event_time", "trace"]) {
    if (message[name] !== undefined) item[name] = message[name];
  }
  for (const [name, whole] of [["original_text", message.text], ["modified_data", redacted]]) {
    if (item[name] !== whole) {
      item.truncated = true;
      item[`${name}_bytes`] = Buffer.byteLength(whole);
    }
  }
  return item;
}

function shortOrigin({ shard, sequence_number, position }) {
  const line = position === 0 ? "" : `.${position}`;
  return `${Number(shard.replace("shardId-", ""))}:${sequence_number}${line}`;
}

function held(text) {
  if (text.length * 3 <= HELD_BYTES) return text;
  const encoded = Buffer.from(text);
  if (encoded.length <= HELD_BYTES) return text;
  let end = HELD_BYTES;
  while ((encoded[end] & 0xc0) === 0x80) end -= 1;
  return encoded.toString("utf8", 0, end);
}

// By value, not by spelling.
function contentHash(message) {
  const hash = createHash("sha256").update(message.text).update(END).update(canonical(message.fields ?? {}));
  return hash.update(message.event_time ?? "").digest("hex").slice(0, 32);
}

const END = Buffer.of(0xff);

function canonical(value) {
  if (value === null || typeof value === "boolean") return Buffer.from(String(value)[0]);
  if (typeof value === "string") return Buffer.concat([Buffer.from(`"${value}`), END]);
  if (typeof value === "number") {
    // Inputs have integers only.
    const bytes = Buffer.from("i00000000");
    bytes.writeBigInt64LE(BigInt(value), 1);
    return bytes;
  }
  if (Array.isArray(value)) return Buffer.concat([Buffer.from("["), ...value.map(canonical), Buffer.from("]")]);
  const members = Object.entries(value).map(([name, member]) => [canonical(name), canonical(member)]);
  members.sort(([one], [other]) => Buffer.compare(one, other));
  const out = Buffer.concat([Buffer.from("{"), ...members.flat(), Buffer.from("}")]);
  return out.length > 1024 ? Buffer.concat([Buffer.from("#"), createHash("sha256").update(out).digest()]) : out;
}

const payload = readFileSync(process.argv[2]);
await serve((folder) => {
  const table = new Map();
  const archive = handler(JSON.parse(payload.toString()), table);
  return () => {
    writeFileSync(join(folder, "items.ndjson"), Array.from(table.values(), (item) => JSON.stringify(item)).join("\n"));
    writeFileSync(join(folder, "archive.ndjson.gz"), archive);
  };
});
