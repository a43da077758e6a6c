/** What the stack is made from, where stages differ. `stage.ts` makes it. The facts that the functions rely on are in `contract.json`. */

import type { RetentionDays } from 'aws-cdk-lib/aws-logs';

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
  /** That it is deployed to. If they are not set, those of the credentials. */
  readonly account?: string;
  readonly region?: string;
  readonly stream: StreamConfig;
  readonly records: RecordsConfig;
  readonly ingest: IngestConfig;
  /**
   * Whether events can be read back over HTTP. Only then the table has its index by time, which costs a write unit an event.
   * If it is not set, the key `reads.enabled` decides, else they cannot.
   */
  readonly reads?: boolean;
  readonly consumer: ConsumerConfig;
  readonly items: ItemsConfig;
  /** Whether X-Ray traces the dispatcher. */
  readonly dispatch: { readonly tracing: boolean };
  readonly archive: ArchiveConfig;
  readonly logs: LogConfig;
  /** Saved queries in the Athena workgroup. Emulators do not know them. */
  readonly namedQueries: boolean;
  /** Alarms on the sum of two metrics. Emulators do not know them: without it they use the first metric. */
  readonly metricMath: boolean;
  /** The ARN of the key that encrypts what is stored. If it is not set, keys of AWS do. */
  readonly keyArn?: string;
  /** The VPC that the functions are in. Without it they are in none. */
  readonly network?: NetworkConfig;
  /** Keys of `tidegate.toml` that the stage overrides, such as `archive.window_seconds`, as the text of their variables. */
  readonly keys: Readonly<Record<string, string>>;
  /** The file that is packed with the functions. */
  readonly configuration: string;
  /** The ARN of the secret for the target of dispatch. */
  readonly dispatchSecret?: string;
  /** The address of the target of dispatch. If it is not set, the key `dispatch.url` decides. */
  readonly dispatchUrl?: string;
  /** Gets the alarms. Without it the topic has no subscriber. */
  readonly alarmEmail?: string;
  /** On every resource, for cost reports. */
  readonly tags: Readonly<Record<string, string>>;
}

export type StreamConfig =
  /** A shard takes 1 MB/s and 1,000 records/s. Provisioned is cheaper from a steady tenth of that. */
  { readonly mode: 'provisioned'; readonly shards: number } | { readonly mode: 'on-demand' };

export interface NetworkConfig {
  readonly vpcId: string;
  readonly subnetIds: readonly string[];
  /** Of the subnets. If there are any, the stack makes the endpoints of the services that the functions use. */
  readonly routeTableIds: readonly string[];
}

export interface RecordsConfig {
  /** How long the stream has them. */
  readonly retentionHours: number;
  /** How long one that fails is retried. */
  readonly ageHours: number;
}

export interface IngestConfig {
  readonly memoryMb: number;
  /**
   * Also a rate limit: a Function URL takes at most ten times as many requests a second. Without it the function shares the
   * account's concurrency.
   */
  readonly reservedConcurrency?: number;
  /** Of the URL. `none`: anyone can reach it. `iam`: only callers that the account allows, signed with SigV4. */
  readonly auth: 'none' | 'iam';
  /** Shift a tenth of the traffic first, and roll back if an alarm fires. Emulators have no CodeDeploy. */
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
