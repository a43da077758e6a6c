/**
 * What the functions and the stack must agree on. The functions' part is read from `tidegate.toml`, the very file that is
 * packed with them; the rest are the numbers of the event source mapping, which tests compare with those of the local run
 * (`shared/src/mapping.rs`).
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duration } from 'aws-cdk-lib';
import { parse } from 'smol-toml';

/** The repository. */
export const ROOT = join(__dirname, '..', '..');
/** The configuration file that is packed with every function. */
export const CONFIGURATION = join(ROOT, 'tidegate.toml');

/** How the consumer is fed. */
export const MAPPING = {
  batchSize: 10_000,
  /** With a poll a second and the run itself, this keeps events below five seconds from door to object. */
  window: Duration.seconds(3),
  retryAttempts: 30,
  maxRecordAge: Duration.hours(6),
  /** More would interleave sequence numbers within a shard, and the ledger could not say how far it got. */
  parallelizationFactor: 1,
} as const;

/** How long the stream keeps records: four times as long as the mapping tries. */
export const STREAM_RETENTION = Duration.hours(24);
/** An invocation's time-out. The consumer stops in good order a tenth before it. */
export const CONSUMER_TIMEOUT = Duration.seconds(60);
/** How long a spilled event waits for the stream to come back, before it is a dead letter. */
export const SPILL_RETENTION = Duration.days(4);
/**
 * How long dead letters are kept: SQS allows no more. It counts from when the message was spilled, not from when it became a
 * dead letter; that it outlives the spill queue's own retention is what makes room to bring it back.
 */
export const DEAD_LETTER_RETENTION = Duration.days(14);
/** Door to durable object: what is promised at the 99th percentile. */
export const FRESHNESS = Duration.seconds(5);

/** What the stack reads from `tidegate.toml`. */
export interface Settings {
  readonly allowedTiers: readonly string[];
  readonly daysToLive: Readonly<Record<string, number>>;
  /** From here on a put is slow. Below what an attempt may take: at that it is cut off, and no put is measured beyond. */
  readonly slowPut: Duration;
  readonly bodyBytes: number;
  /** What the door may take for one request: its claim checks, then the stream or the spill queue, and room to answer. */
  readonly ingestTimeout: Duration;
}

interface Toml {
  tiers: { allowed: string[] };
  limits: { body_bytes: number };
  publish: { budget_ms: number; attempt_ms: number; spill_ms: number; payload_ms: number };
  items: { days_to_live: Record<string, number> };
}

/** Reads and checks the configuration that is deployed. */
export function readSettings(file: string = CONFIGURATION): Settings {
  return settings(readFileSync(file, 'utf8'));
}

/** The settings in the text of a configuration file. */
export function settings(toml: string): Settings {
  const config = parse(toml) as unknown as Toml;
  const { budget_ms, attempt_ms, spill_ms, payload_ms } = config.publish;
  const read: Settings = {
    allowedTiers: config.tiers.allowed,
    daysToLive: config.items.days_to_live,
    slowPut: Duration.millis(Math.floor(0.8 * attempt_ms)),
    bodyBytes: config.limits.body_bytes,
    ingestTimeout: Duration.seconds(Math.ceil((payload_ms + budget_ms + spill_ms) / 1000) + 4),
  };
  for (const [tier, days] of Object.entries(read.daysToLive)) {
    if (days < LEAST_DAYS_TO_LIVE) {
      throw new Error(
        `items.days_to_live.${tier} is ${days}, but an event may come again ${LEAST_DAYS_TO_LIVE} days after it was ` +
          'stored, by the stream, the spill queue and its dead letters; without its item it would be stored twice',
      );
    }
  }
  return read;
}

/** Deduplication rests on the items: they outlive whatever may still be delivered. */
export const LEAST_DAYS_TO_LIVE = Math.ceil(
  STREAM_RETENTION.toDays({ integral: false }) + SPILL_RETENTION.toDays() + DEAD_LETTER_RETENTION.toDays(),
);
