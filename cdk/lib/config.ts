/**
 * What a deployment is made from. `TidegateProps` is for apps: what it leaves out has the default of the same setting in
 * docs/settings.md. `Config` has these defaults, and the constructs work with it. The facts that the functions rely on are in
 * `contract.json`.
 *
 * The types of `TidegateProps` are those that jsii takes: interfaces of `readonly` members, classes and enums; no unions and no
 * mapped types.
 */

import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import type { IStream, StreamMode } from 'aws-cdk-lib/aws-kinesis';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { Architecture, FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import type { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { FunctionAssets } from './assets';

export interface TidegateProps {
  /** The code of the functions. */
  readonly assets: FunctionAssets;
  /**
   * Names the deployment in its metrics, in Athena and on the dashboard. It must be unique in the account and region: a small letter,
   * then up to 31 of a-z, 0-9 and -.
   * @default - from the name of the stack and the path of the construct
   */
  readonly name?: string;
  /**
   * The file `tidegate.toml` that is packed with the functions.
   * @default - the defaults of every key
   */
  readonly configuration?: string;
  /** Keys of `tidegate.toml` that are overridden, such as `archive.window_seconds`, as the text of their variables. */
  readonly keys?: { [key: string]: string };
  /**
   * Keep stream and queues when they are deleted from the stack, and refuse to delete the tables.
   * @default true
   */
  readonly protectData?: boolean;
  /**
   * Whether anyone who finds the URL may send as any tenant.
   * @default false
   */
  readonly mayBePublic?: boolean;
  /**
   * ARM_64 costs a fifth less. It has not been tried.
   * @default Architecture.X86_64
   */
  readonly architecture?: Architecture;
  /**
   * Whether events can be read back over HTTP. Only then the table has its index by time, which costs a write unit an event.
   * @default - the key `reads.enabled`, else they cannot
   */
  readonly reads?: boolean;
  readonly stream?: StreamConfig;
  readonly records?: RecordsConfig;
  readonly ingest?: IngestConfig;
  readonly consumer?: ConsumerConfig;
  readonly items?: ItemsConfig;
  readonly dispatch?: DispatchConfig;
  readonly archive?: ArchiveConfig;
  readonly logs?: LogConfig;
  /**
   * Encrypts what is stored in the resources that Tidegate makes.
   * @default - keys of AWS
   */
  readonly encryptionKey?: IKey;
  /**
   * The VPC that ingest, drain and consumer are in.
   * @default - none
   */
  readonly network?: NetworkConfig;
  /**
   * Gets the alarms.
   * @default - the topic has no subscriber
   */
  readonly alarmEmail?: string;
  /**
   * A bucket to use instead of an own one. It must be for this deployment alone, and its owner adds `lifecycleRules` to it
   * (docs/library.md).
   */
  readonly existingBucket?: IBucket;
  /** A stream to use instead of an own one. `records.retentionHours` must be what it has. */
  readonly existingStream?: IStream;
  /** A table to use for the items. It must be for this deployment alone. */
  readonly existingItemsTable?: ITable;
  /** A table to use for the ledger. It must be for this deployment alone. */
  readonly existingLedgerTable?: ITable;
}

export interface StreamConfig {
  /**
   * On demand, Kinesis adds shards by itself. Provisioned is cheaper from a steady tenth of what the shards take.
   * @default StreamMode.PROVISIONED
   */
  readonly mode?: StreamMode;
  /**
   * Of a provisioned stream: each shard takes 1 MB/s and 1,000 records/s.
   * @default 1
   */
  readonly shards?: number;
  /**
   * Other accounts that may put records on the stream, as any tenant. It needs `encryptionKey`: they cannot use the key of AWS.
   * @default - none
   */
  readonly producerAccounts?: string[];
}

export interface NetworkConfig {
  readonly vpcId: string;
  readonly subnetIds: string[];
  /**
   * Of the subnets. If there are any, the endpoints of the services that the functions use are made.
   * @default - none
   */
  readonly routeTableIds?: string[];
}

export interface RecordsConfig {
  /**
   * How long the stream has them.
   * @default 24
   */
  readonly retentionHours?: number;
  /**
   * How long one that fails is retried.
   * @default 6
   */
  readonly ageHours?: number;
}

export interface IngestConfig {
  /** @default 272 */
  readonly memoryMb?: number;
  /**
   * Also a rate limit: a Function URL takes at most ten times as many requests a second.
   * @default - it shares the account's concurrency
   */
  readonly reservedConcurrency?: number;
  /**
   * Of the URL. NONE: anyone can reach it. AWS_IAM: only callers that the account allows, signed with SigV4.
   * @default FunctionUrlAuthType.NONE
   */
  readonly auth?: FunctionUrlAuthType;
  /**
   * Shift a tenth of the traffic first, and roll back if an alarm fires.
   * @default true
   */
  readonly canary?: boolean;
  /**
   * X-Ray samples a request a second and 5 % of the others, which cannot be changed: $0.25 a million requests.
   * @default false
   */
  readonly tracing?: boolean;
}

export interface ConsumerConfig {
  /** @default 1769 */
  readonly memoryMb?: number;
  /** @default false */
  readonly tracing?: boolean;
}

export interface ItemsConfig {
  /**
   * Capacity that is paid by the hour: a third of the price where the load is steady. The stream absorbs what the table refuses, so
   * it can run nearly full: events are then stored late, and nothing is lost.
   * @default - on demand: each write is paid
   */
  readonly provisioned?: ProvisionedCapacity;
  /**
   * How many write units a second an on-demand table takes from the start.
   * @default - 4,000, as every new table
   */
  readonly warmWriteUnits?: number;
}

/** Of the table of items, and of its index by time: write units a second. */
export interface ProvisionedCapacity {
  readonly minWriteUnits: number;
  readonly maxWriteUnits: number;
  /**
   * The percentage of the capacity that auto scaling aims to use: 20 to 90.
   * @default 80
   */
  readonly targetUtilization?: number;
}

export interface DispatchConfig {
  /**
   * The ARN of the secret for the target.
   * @default - none
   */
  readonly secretArn?: string;
  /**
   * The address of the target.
   * @default - the key `dispatch.url`
   */
  readonly url?: string;
  /**
   * Whether X-Ray traces the dispatcher.
   * @default false
   */
  readonly tracing?: boolean;
}

export interface ArchiveConfig {
  /**
   * Keep deleted and overwritten objects for 30 days.
   * @default true
   */
  readonly versioned?: boolean;
  /**
   * When larger objects of the archive move to Infrequent Access: at least 30 days, which is S3's rule.
   * @default 30
   */
  readonly infrequentAccessAfterDays?: number;
  /**
   * When the archive is deleted, with everything that it refers to.
   * @default - never
   */
  readonly expireAfterDays?: number;
  /**
   * How long quarantine and failed batches wait to be redriven. The lifetimes of claim checks and of notes in `redriven/` follow
   * from it.
   * @default 180
   */
  readonly failuresDays?: number;
  /**
   * S3 tells EventBridge of each new object.
   * @default false
   */
  readonly objectNotifications?: boolean;
}

export interface LogConfig {
  /** @default RetentionDays.THREE_MONTHS */
  readonly retention?: RetentionDays;
}

/** Some members are there. */
type With<T, K extends keyof T> = T & Required<Pick<T, K>>;

/** Every setting, with its default where none was given. A member that is `undefined` has none. */
export interface Config extends Omit<TidegateProps, 'assets' | 'name'> {
  readonly configuration: string;
  readonly keys: { [key: string]: string };
  readonly protectData: boolean;
  readonly mayBePublic: boolean;
  readonly architecture: Architecture;
  readonly stream: With<StreamConfig, 'mode'>;
  readonly records: Required<RecordsConfig>;
  readonly ingest: With<IngestConfig, 'memoryMb' | 'auth' | 'canary' | 'tracing'>;
  readonly consumer: Required<ConsumerConfig>;
  readonly items: ItemsConfig;
  readonly dispatch: With<DispatchConfig, 'tracing'>;
  readonly archive: With<
    ArchiveConfig,
    'versioned' | 'infrequentAccessAfterDays' | 'failuresDays' | 'objectNotifications'
  >;
  readonly logs: Required<LogConfig>;
}
