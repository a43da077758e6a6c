/** The settings that differ between stages. The facts that the functions rely on are in `contract.json`. */

import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { CONTRACT } from './contract';

export type Architecture = 'x86_64' | 'arm64';

export interface StageConfig {
  /** Names the stack, and the value of the tag `stage`. */
  readonly stage: string;
  /** Keep tables, queues and the stream when the stack is deleted, and refuse to delete the stack itself. */
  readonly protectData: boolean;
  /** Whether anyone who finds the URL may send as any tenant. */
  readonly mayBePublic: boolean;
  /** arm64 costs a fifth less. It has not been tried. */
  readonly architecture: Architecture;
  readonly stream: StreamConfig;
  readonly ingest: IngestConfig;
  /**
   * Whether events can be read back over HTTP. Only then the table has its index by time, which costs a write unit an event.
   * If it is not set, the key `reads.enabled` decides, else they cannot. `-c reads=true` sets it.
   */
  readonly reads?: boolean;
  readonly consumer: ConsumerConfig;
  readonly items: ItemsConfig;
  /** Whether X-Ray traces the dispatcher. */
  readonly dispatch: { readonly tracing: boolean };
  readonly archive: ArchiveConfig;
  readonly logs: LogConfig;
  /** Saved queries in the Athena workgroup. Emulators do not know them: `-c namedQueries=false`. */
  readonly namedQueries: boolean;
  /** Alarms on the sum of two metrics. Emulators do not know them: with `-c metricMath=false` they use the first metric. */
  readonly metricMath: boolean;
  /** The ARN of the secret for the target of dispatch: `-c dispatchSecret=`. */
  readonly dispatchSecret?: string;
  /** The address of the target of dispatch: `-c dispatchUrl=`. If it is not set, the key `dispatch.url` decides. */
  readonly dispatchUrl?: string;
  /** Gets the alarms. Without it the topic has no subscriber. */
  readonly alarmEmail?: string;
  /** On every resource, for cost reports. */
  readonly tags: Readonly<Record<string, string>>;
}

export type StreamConfig =
  /** A shard takes 1 MB/s and 1,000 records/s. Provisioned is cheaper from a steady tenth of that. */
  { readonly mode: 'provisioned'; readonly shards: number } | { readonly mode: 'on-demand' };

export interface IngestConfig {
  readonly memoryMb: number;
  /**
   * Also a rate limit: a Function URL takes at most ten times as many requests a second. Without it the function shares the
   * account's concurrency.
   */
  readonly reservedConcurrency?: number;
  /** Of the URL. `none`: anyone can reach it. `iam`: only callers that the account allows, signed with SigV4. */
  readonly auth: 'none' | 'iam';
  /** Shift a tenth of the traffic first, and roll back if an alarm fires. Emulators have no CodeDeploy: `-c canary=false`. */
  readonly canary: boolean;
  /** X-Ray samples a request a second and 5 % of the others, which cannot be changed: $0.25 a million requests. */
  readonly tracing: boolean;
}

export interface ConsumerConfig {
  readonly memoryMb: number;
  readonly tracing: boolean;
}

export interface ItemsConfig {
  readonly capacity: CapacityConfig;
}

/** Of the table of items, and of its index by time. */
export type CapacityConfig =
  /** Each write is paid. `warmWriteUnits`: how many a second the table takes from the start; a new one takes 4,000. */
  | { readonly mode: 'on-demand'; readonly warmWriteUnits?: number }
  /**
   * The capacity is paid by the hour: a third of the price where the load is steady. The stream absorbs what the table refuses, so it
   * can run nearly full: events are then stored late, and nothing is lost.
   */
  | {
      readonly mode: 'provisioned';
      readonly minWriteUnits: number;
      readonly maxWriteUnits: number;
      /** The percentage of the capacity that auto scaling aims to use: 20 to 90. */
      readonly targetUtilization: number;
    };

export interface ArchiveConfig {
  /** Keep deleted and overwritten objects for 30 days. */
  readonly versioned: boolean;
  /** When larger objects of the archive move to Infrequent Access: at least 30 days, which is S3's rule. */
  readonly infrequentAccessAfterDays: number;
  /** When the archive is deleted, with everything that it refers to. Never, if unset. */
  readonly expireAfterDays?: number;
  /**
   * How long quarantine and failed batches wait to be redriven. The lifetimes of claim checks and of notes in `redriven/` follow
   * from it.
   */
  readonly failuresDays: number;
}

export interface LogConfig {
  readonly retentionDays: RetentionDays;
}

interface StageChanges {
  readonly mayBePublic?: boolean;
  readonly stream?: StreamConfig;
  readonly dispatch?: { readonly tracing: boolean };
  readonly ingest?: Partial<IngestConfig>;
  readonly consumer?: Partial<ConsumerConfig>;
}

/** What both stages have. */
const BOTH = {
  architecture: 'x86_64',
  // One whole processor: most of the work is compression.
  consumer: { memoryMb: CONTRACT.consumer.memoryMb, tracing: false },
  items: { capacity: { mode: 'on-demand' } },
  dispatch: { tracing: false },
} as const;

const STAGES: Readonly<Record<string, Omit<StageConfig, 'tags' | 'namedQueries' | 'metricMath'>>> = {
  dev: {
    ...BOTH,
    stage: 'dev',
    protectData: false,
    mayBePublic: true,
    stream: { mode: 'provisioned', shards: 1 },
    ingest: { memoryMb: CONTRACT.ingest.memoryMb, auth: 'none', canary: false, tracing: false },
    archive: { versioned: false, infrequentAccessAfterDays: 30, expireAfterDays: 90, failuresDays: 180 },
    logs: { retentionDays: RetentionDays.ONE_WEEK },
  },
  prod: {
    ...BOTH,
    stage: 'prod',
    protectData: true,
    mayBePublic: false,
    stream: { mode: 'provisioned', shards: 2 },
    ingest: {
      memoryMb: CONTRACT.ingest.memoryMb,
      reservedConcurrency: 100,
      auth: 'none',
      canary: true,
      tracing: false,
    },
    archive: { versioned: true, infrequentAccessAfterDays: 30, failuresDays: 180 },
    logs: { retentionDays: RetentionDays.THREE_MONTHS },
  },
};

/** What the documents with a recipe ask of a stage. Their pages in `docs/recipes` have the reasons. */
const RECIPES: Readonly<Record<string, StageChanges>> = {
  // A source sees no second answer, so each request is traced.
  'event-bridge': {
    ingest: { tracing: true, canary: true },
    consumer: { tracing: true },
    dispatch: { tracing: true },
  },
  'event-receiver': {},
  // It asks for automatic scaling, for canary releases and for X-Ray.
  'event-streaming': {
    stream: { mode: 'on-demand' },
    ingest: { tracing: true, canary: true },
    consumer: { tracing: true },
  },
  // Its cost is to follow its use.
  'http-ingestion': {},
  // Public without credentials, on the free tier.
  'robust-data-processor': {
    mayBePublic: true,
    ingest: { auth: 'none' },
  },
};

/** The stage of `-c stage=`, `dev` by default, changed by the other `-c` options. */
export function stageConfig(context: (key: string) => unknown): StageConfig {
  const name = text(context, 'stage') ?? 'dev';
  const stage = STAGES[name];
  if (stage === undefined) {
    throw new Error(`stage \`${name}\` is not known (known: ${Object.keys(STAGES).join(', ')})`);
  }
  const architecture = text(context, 'architecture') ?? stage.architecture;
  if (architecture !== 'x86_64' && architecture !== 'arm64') {
    throw new Error(`architecture \`${architecture}\` is not known (known: x86_64, arm64)`);
  }
  const recipe = text(context, 'recipe');
  const changes: StageChanges | undefined = recipe === undefined ? {} : RECIPES[recipe];
  if (changes === undefined) {
    throw new Error(`recipe \`${recipe}\` is not known (known: ${Object.keys(RECIPES).join(', ')})`);
  }
  const auth = text(context, 'auth') ?? changes.ingest?.auth ?? stage.ingest.auth;
  if (auth !== 'none' && auth !== 'iam') throw new Error(`auth \`${auth}\` is not known (known: none, iam)`);
  const ingest: IngestConfig = { ...stage.ingest, ...changes.ingest, auth };
  const traced = flag(context, 'tracing');
  const tracing = traced === undefined ? {} : { tracing: traced };
  return {
    ...stage,
    stream: streamConfig(text(context, 'stream')) ?? changes.stream ?? stage.stream,
    consumer: { ...stage.consumer, ...changes.consumer, ...tracing },
    dispatch: { ...stage.dispatch, ...changes.dispatch, ...tracing },
    items: { capacity: capacityConfig(text(context, 'itemsCapacity')) ?? stage.items.capacity },
    architecture,
    mayBePublic: stage.mayBePublic || changes.mayBePublic === true || text(context, 'public') === 'true',
    ingest: { ...ingest, canary: flag(context, 'canary') ?? ingest.canary, ...tracing },
    namedQueries: text(context, 'namedQueries') !== 'false',
    metricMath: text(context, 'metricMath') !== 'false',
    reads: flag(context, 'reads') ?? stage.reads,
    alarmEmail: text(context, 'alarmEmail') ?? stage.alarmEmail,
    dispatchUrl: text(context, 'dispatchUrl'),
    dispatchSecret: text(context, 'dispatchSecret'),
    tags: { application: 'tidegate', stage: stage.stage, 'cost-center': text(context, 'costCenter') ?? 'tidegate' },
  };
}

/** Of `-c stream=`: `on-demand`, or a number of shards. */
function streamConfig(given: string | undefined): StreamConfig | undefined {
  if (given === undefined) return undefined;
  if (given === 'on-demand') return { mode: 'on-demand' };
  const shards = Number(given);
  if (Number.isInteger(shards) && shards >= 1) return { mode: 'provisioned', shards };
  throw new Error(`stream \`${given}\` is not allowed (allowed: on-demand, or a number of shards)`);
}

/**
 * The target of auto scaling where only the capacity is given. Auto scaling raises the capacity by its inverse at each step, since a
 * table that refuses writes is used to 100 %: at 90 % a peak would take three times as long to be stored.
 */
export const PROVISIONED_USE_PERCENT = 80;

/** Of `-c itemsCapacity=`: `on-demand`, or the least and the most write units, such as `100-6000`. */
function capacityConfig(given: string | undefined): CapacityConfig | undefined {
  if (given === undefined) return undefined;
  if (given === 'on-demand') return { mode: 'on-demand' };
  const [minWriteUnits = NaN, maxWriteUnits = NaN] = /^\d+-\d+$/.test(given) ? given.split('-').map(Number) : [];
  if (minWriteUnits >= 1 && maxWriteUnits >= minWriteUnits) {
    return { mode: 'provisioned', minWriteUnits, maxWriteUnits, targetUtilization: PROVISIONED_USE_PERCENT };
  }
  throw new Error(
    `itemsCapacity \`${given}\` is not allowed (allowed: on-demand, or the least and the most write units such as 100-6000)`,
  );
}

function flag(context: (key: string) => unknown, key: string): boolean | undefined {
  const value = text(context, key);
  if (value === undefined) return undefined;
  if (value === 'true' || value === 'false') return value === 'true';
  throw new Error(`context \`${key}\` must be true or false, not ${value}`);
}

function text(context: (key: string) => unknown, key: string): string | undefined {
  const value = context(key);
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'string') throw new Error(`context \`${key}\` must be text, not ${JSON.stringify(value)}`);
  return value;
}
