/**
 * What differs between stages, and only that. What the functions and the stack must agree on is in `settings.ts`.
 */

import { RetentionDays } from 'aws-cdk-lib/aws-logs';

export type Architecture = 'x86_64' | 'arm64';

export interface StageConfig {
  /** Names the stack, and the value of the tag `stage`. */
  readonly stage: string;
  /** Keep buckets, tables and the stream when the stack goes, and refuse to delete the stack itself. */
  readonly protectData: boolean;
  /** arm64 is cheaper by a fifth; nobody has run it yet. */
  readonly architecture: Architecture;
  readonly stream: StreamConfig;
  readonly ingest: IngestConfig;
  readonly consumer: ConsumerConfig;
  readonly archive: ArchiveConfig;
  readonly logs: LogConfig;
  /** The queries that come with the Athena workgroup. Emulators do not know them: `-c namedQueries=false`. */
  readonly namedQueries: boolean;
  /** Alarms on the sum of two metrics. Emulators do not know them: `-c metricMath=false` has the first metric alone. */
  readonly metricMath: boolean;
  /** Where alarms go; without it there is the topic, and nobody listens. */
  readonly alarmEmail?: string;
  /** On every resource, for the bill. */
  readonly tags: Readonly<Record<string, string>>;
}

export type StreamConfig =
  /** A shard takes 1 MB/s and 1,000 records/s. Provisioned is the cheaper one from a steady tenth of that on. */
  { readonly mode: 'provisioned'; readonly shards: number } | { readonly mode: 'on-demand' };

export interface IngestConfig {
  readonly memoryMb: number;
  /**
   * The door's rate limit: a Function URL takes at most ten times this many requests a second. Without it the function
   * shares what the account has.
   */
  readonly reservedConcurrency?: number;
  /** `none`: public, the functions tell tenants by header. `iam`: only callers of the account who sign with SigV4. */
  readonly auth: 'none' | 'iam';
  /** Shift a tenth of the traffic first, and back if the error alarm fires. */
  readonly canary: boolean;
  /** X-Ray samples 5 % of requests whether one likes it or not: $0.25 a million requests. */
  readonly tracing: boolean;
}

export interface ConsumerConfig {
  readonly memoryMb: number;
  readonly tracing: boolean;
}

export interface ArchiveConfig {
  /** Keep deleted and overwritten objects for thirty days. */
  readonly versioned: boolean;
  /** When `events/`, `payloads/` and `texts/` move to Infrequent Access; S3 leaves objects below 128 KB where they are. */
  readonly infrequentAccessAfterDays: number;
  /** When `events/`, `payloads/` and `texts/` are deleted, together; never, if unset. */
  readonly expireAfterDays?: number;
}

export interface LogConfig {
  readonly retentionDays: RetentionDays;
}

const STAGES: Readonly<Record<string, Omit<StageConfig, 'tags' | 'namedQueries' | 'metricMath'>>> = {
  dev: {
    stage: 'dev',
    protectData: false,
    architecture: 'x86_64',
    stream: { mode: 'provisioned', shards: 1 },
    ingest: { memoryMb: 512, auth: 'none', canary: false, tracing: true },
    consumer: { memoryMb: 1769, tracing: true },
    archive: { versioned: false, infrequentAccessAfterDays: 30, expireAfterDays: 90 },
    logs: { retentionDays: RetentionDays.ONE_WEEK },
  },
  prod: {
    stage: 'prod',
    protectData: true,
    architecture: 'x86_64',
    stream: { mode: 'provisioned', shards: 2 },
    ingest: { memoryMb: 512, reservedConcurrency: 100, auth: 'none', canary: true, tracing: true },
    consumer: { memoryMb: 1769, tracing: true },
    archive: { versioned: true, infrequentAccessAfterDays: 30 },
    logs: { retentionDays: RetentionDays.THREE_MONTHS },
  },
};

/** The stage that `-c stage=` names (`dev` if none), with `-c architecture=` and `-c alarmEmail=` on top. */
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
  return {
    ...stage,
    architecture,
    namedQueries: text(context, 'namedQueries') !== 'false',
    metricMath: text(context, 'metricMath') !== 'false',
    alarmEmail: text(context, 'alarmEmail') ?? stage.alarmEmail,
    tags: { application: 'tidegate', stage: stage.stage, 'cost-center': text(context, 'costCenter') ?? 'tidegate' },
  };
}

function text(context: (key: string) => unknown, key: string): string | undefined {
  const value = context(key);
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'string') throw new Error(`context \`${key}\` must be text, not ${JSON.stringify(value)}`);
  return value;
}
