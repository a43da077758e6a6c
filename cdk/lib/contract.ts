/**
 * The facts that the functions rely on. Rust writes `contract.json` from the code that runs (`make contract`), and a Rust test
 * fails while the file is out of date. The stack takes these facts from here and states none of them itself.
 */

import file from '../contract.json';

export type FunctionName = 'ingest' | 'drain' | 'consumer';

export interface Permission {
  readonly action: string;
  readonly on: 'stream' | 'items' | 'ledger' | 'bucket' | 'objects' | 'spillQueue' | 'logs' | 'everything';
  /** Only with `objects`: the objects whose keys begin so. */
  readonly prefix?: string;
}

export interface FunctionContract {
  /** The Lambda binary of the Rust workspace. */
  readonly binary: string;
  /** The environment variables that name its resources. */
  readonly variables: readonly string[];
  /** Its role allows these and no others. */
  readonly permissions: readonly Permission[];
}

export interface TableContract {
  readonly prefix: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly comment: string }[];
}

export interface Contract {
  readonly functions: Readonly<Record<FunctionName, FunctionContract>>;
  /** The time-out that ingest needs beyond the budgets of `tidegate.toml`. */
  readonly ingest: { readonly answerSeconds: number };
  readonly consumer: { readonly memoryMb: number; readonly timeoutSeconds: number };
  readonly stream: { readonly retentionSeconds: number };
  readonly spill: {
    readonly messageBytes: number;
    readonly batchMessages: number;
    readonly visibilitySeconds: number;
    readonly receives: number;
    readonly drainTimeoutSeconds: number;
    readonly retentionSeconds: number;
    readonly deadLetterRetentionSeconds: number;
  };
  /** The rules of the event source mapping. The local run follows the same ones. */
  readonly mapping: {
    readonly startingPosition: string;
    readonly batchSize: number;
    readonly windowSeconds: number;
    readonly retryAttempts: number;
    readonly recordAgeSeconds: number;
    readonly bisectOnError: boolean;
    readonly reportFailures: boolean;
    readonly failurePrefix: string;
  };
  readonly prefixes: {
    /** The archive and the objects that it refers to: all live equally long. */
    readonly archive: readonly string[];
    /** Failures, and the objects that redriving needs. */
    readonly temporary: readonly string[];
  };
  readonly tables: Readonly<Record<'events' | 'errors', TableContract>>;
  readonly items: {
    readonly partitionKey: string;
    readonly sortKey: string;
    readonly expiresAt: string;
    /** The partitions of one tenant, with `{tenant}` and `{key}` to be filled in. */
    readonly partitions: readonly string[];
    readonly index: {
      readonly name: string;
      readonly partitionKey: string;
      readonly sortKey: string;
      readonly partitions: readonly string[];
    };
  };
  readonly metrics: {
    readonly namespace: string;
    readonly all: readonly MetricContract[];
  };
}

export interface MetricContract {
  readonly name: string;
  readonly unit: string;
  readonly kind: 'sum' | 'distribution';
  readonly meaning: string;
}

export const CONTRACT = file as Contract;
