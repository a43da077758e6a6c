/** Settings that the stack reads from `tidegate.toml`, the same file that is packed with the functions. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duration } from 'aws-cdk-lib';
import { parse, type TomlTable } from 'smol-toml';
import type { Config } from './config';
import { CONTRACT } from './contract';

/** The repository. */
export const ROOT = join(__dirname, '..', '..');
/** The configuration file that is packed with every function. */
export const CONFIGURATION = join(ROOT, 'tidegate.toml');

/** From received by ingest to durable in the archive: the promise, at the 99th percentile. */
export const FRESHNESS = Duration.seconds(CONTRACT.alarms.freshnessSeconds);

const { spill } = CONTRACT;

/**
 * How long after its acceptance an event may still reach the consumer: after a full retention on the stream, in the spill
 * queue and in the dead-letter queue.
 */
export function redeliveryDays({ retentionHours }: Config['records']): number {
  const queues = Duration.seconds(spill.retentionSeconds + spill.deadLetterRetentionSeconds);
  return Math.ceil(retentionHours / 24 + queues.toDays({ integral: false }));
}

export interface Settings {
  /** A put that takes longer is slow. It is less than an attempt's time limit: an attempt is cut off there. */
  readonly slowPut: Duration;
  /** The budgets for one request (claim checks, stream, spill queue), and time to answer. */
  readonly ingestTimeout: Duration;
  /** Whether the configuration asks for credentials, so that ingest needs their secret. */
  readonly needsCredentials: boolean;
  readonly consumerTimeout: Duration;
  /** The memory that the largest body needs in ingest, in MB, as `limits::ingest_mb` in Rust has it; a test compares the two. */
  readonly ingestMb: number;
  /** The memory that the largest batch needs in the consumer, in MB: what it reads, twice. */
  readonly consumerMb: number;
  /** The shortest life of an item, in days. */
  readonly itemDays: number;
  /** Records of at least this size are compressed. */
  readonly compressFromBytes: number;
  /** How long the event source mapping gathers a batch. */
  readonly window: Duration;
  /**
   * How much later than by default an event may be stored. With simulated work it waits for the batch in progress, then for its
   * own; each takes less than the time-out. And by as much as the window is longer.
   */
  readonly later: Duration;
  readonly reads: ReadsSettings;
  /** `undefined` where dispatch is off. */
  readonly dispatch?: DispatchSettings;
}

/** The section `[reads]`. */
export interface ReadsSettings {
  /** Whether events can be read back, unless the stage says it. */
  readonly enabled?: boolean;
  /** Whether they may be, although callers are not identified. */
  readonly public: boolean;
  /** Whether callers are identified: `auth.mode` is not `none`. */
  readonly isIdentified: boolean;
}

export interface DispatchSettings {
  readonly url: string;
  readonly ratePerSecond: number;
  /** Whether a header has the secret. */
  readonly needsSecret: boolean;
}

const MIB = 1024 * 1024;

interface Toml {
  limits?: Record<string, unknown>;
  auth?: { mode?: string; origin_header?: string; credentials_file?: string };
  publish?: Record<string, unknown>;
  transform?: { simulate_work?: number };
  consumer?: { timeout_seconds?: number };
  archive?: { window_seconds?: number };
  items?: { days_to_live?: Record<string, number> };
  reads?: { enabled?: boolean; public?: boolean };
  dispatch?: { enabled?: boolean; url?: string; rate_per_second?: number; headers?: Record<string, string> };
}

/** The configuration that is deployed: the file that is named, else that of the recipe, else the repository's. */
export function configurationFile(recipe?: string, file?: string): string {
  if (file !== undefined && recipe !== undefined)
    throw new Error(`configuration=${file} and recipe=${recipe} exclude each other: leave one out`);
  if (recipe !== undefined) {
    if (!CONTRACT.recipes.includes(recipe)) {
      throw new Error(`recipe \`${recipe}\` is not known (known: ${CONTRACT.recipes.join(', ')})`);
    }
    return join(ROOT, 'recipes', `${recipe}.toml`);
  }
  return file ?? CONFIGURATION;
}

const PREFIX = 'TIDEGATE__';

/** The variables that override keys, for every function alike. */
export function overrides({
  keys,
  reads,
  dispatch: { url },
}: Pick<Config, 'keys' | 'reads' | 'dispatch'>): Record<string, string> {
  const variable = (key: string) => PREFIX + key.split('.').join('__').toUpperCase();
  return {
    ...Object.fromEntries(Object.entries(keys).map(([key, value]) => [variable(key), value])),
    ...(reads !== undefined && { [CONTRACT.reads.enabledVariable]: String(reads) }),
    ...(url !== undefined && { [CONTRACT.dispatch.urlVariable]: url }),
  };
}

/** Reads the configuration that is deployed. What the functions refuse is found by `checkConfiguration`. */
export function readSettings(file: string = CONFIGURATION, variables: Readonly<Record<string, string>> = {}): Settings {
  return settings(readFileSync(file, 'utf8'), variables);
}

/**
 * The settings in the text of a configuration file, as variables override it. A key that it leaves out has its default, as for the
 * functions.
 */
export function settings(toml: string, variables: Readonly<Record<string, string>> = {}): Settings {
  const given = overridden(parse(toml), variables) as Toml;
  const defaults = parse(readFileSync(CONFIGURATION, 'utf8')) as Toml;
  const { auth = {}, transform, consumer, archive, reads } = given;
  const publish = { ...defaults.publish, ...given.publish };
  const dispatched = dispatchSettings({ ...defaults.dispatch, ...given.dispatch });
  const needsCredentials = (auth.mode ?? 'none') !== 'none' || auth.origin_header !== undefined;
  if (needsCredentials && auth.credentials_file !== undefined) {
    throw new Error(
      `auth.credentials_file is \`${auth.credentials_file}\`, but the functions on AWS read the credentials from a secret: remove it`,
    );
  }
  const limits = { ...defaults.limits, ...given.limits };
  const milliseconds = (key: string) => number('publish', publish, key, 'milliseconds');
  const bytes = (key: string) => number('limits', limits, key, 'bytes');
  const timeout = consumer?.timeout_seconds ?? CONTRACT.consumer.timeoutSeconds.default;
  const consumerTimeout = Duration.seconds(timeout);
  const worksFor = (transform?.simulate_work ?? 0) > 0 ? 2 * timeout : 0;
  const { default: usual } = CONTRACT.mapping.windowSeconds;
  const window = archive?.window_seconds ?? usual;
  const budgets = milliseconds('claim_check_ms') + milliseconds('budget_ms') + milliseconds('spill_ms');
  return {
    slowPut: Duration.millis(Math.floor(0.8 * milliseconds('attempt_ms'))),
    needsCredentials,
    ingestTimeout: Duration.seconds(Math.ceil(budgets / 1000) + CONTRACT.ingest.answerSeconds),
    consumerTimeout,
    ingestMb: CONTRACT.ingest.processMb + Math.ceil((CONTRACT.ingest.memoryRatio * bytes('body_bytes')) / MIB),
    consumerMb: Math.ceil((2 * (bytes('batch_bytes') + bytes('claim_check_bytes'))) / MIB),
    itemDays: Math.min(...Object.values(given.items?.days_to_live ?? defaults.items?.days_to_live ?? {})),
    compressFromBytes: number('publish', publish, 'compress_from_bytes', 'bytes'),
    window: Duration.seconds(window),
    later: Duration.seconds(worksFor + Math.max(0, window - usual)),
    reads: {
      enabled: reads?.enabled,
      public: reads?.public ?? false,
      isIdentified: (auth.mode ?? 'none') !== 'none',
    },
    dispatch: dispatched,
  };
}

/** As the functions do it (`shared/src/config/load.rs`): a value is read as TOML, else as text. */
function overridden(toml: TomlTable, variables: Readonly<Record<string, string>>): TomlTable {
  for (const [variable, text] of Object.entries(variables).sort()) {
    const path = variable.slice(PREFIX.length).toLowerCase().split('__');
    const last = path.pop() ?? '';
    let section = toml;
    for (const name of path) section = (section[name] ??= {}) as TomlTable;
    section[last] = tomlValue(text);
  }
  return toml;
}

function tomlValue(text: string): TomlTable[string] {
  try {
    return parse(`value = ${text}`).value ?? text;
  } catch {
    return text;
  }
}

function number(section: string, keys: Record<string, unknown>, key: string, unit: string): number {
  const value = keys[key];
  if (typeof value !== 'number') throw new Error(`${section}.${key} must be a number of ${unit}, not ${String(value)}`);
  return value;
}

/** Whether events can be read back. The functions check the same when they start (`shared/src/config/sections.rs`). */
export function readsAreOn(stage: boolean | undefined, reads: ReadsSettings): boolean {
  const areOn = stage ?? reads.enabled ?? false;
  if (areOn && !reads.public && !reads.isIdentified) {
    throw new Error(
      'the stage reads events back (`reads`), but the key `reads.public` is not true: `auth.mode` is `none`, so anyone who ' +
        'has the address could read the events of every tenant: set `auth.mode` to `api_key` or `signature`, or ' +
        '`reads.public = true` if that is meant, or deploy with `-c reads=false`',
    );
  }
  return areOn;
}

function dispatchSettings(dispatch: Toml['dispatch']): DispatchSettings | undefined {
  if (dispatch?.enabled !== true) return undefined;
  const { url, rate_per_second: ratePerSecond, headers = {} } = dispatch;
  if (url === undefined || url === '') throw new Error('dispatch.enabled is true, but dispatch.url is not set: set it');
  if (ratePerSecond === undefined)
    throw new Error('dispatch.rate_per_second is not set: set it to what the target takes');
  return { url, ratePerSecond, needsSecret: Object.values(headers).some((value) => value.includes('{secret}')) };
}
