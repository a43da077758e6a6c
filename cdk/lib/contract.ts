/**
 * The facts that the functions rely on. Rust writes `contract.json` from the code that runs (`make contract`), and a Rust test
 * fails while the file is out of date. The stack takes these facts from here and states none of them itself.
 */

import file from '../contract.json';

export type FunctionName = keyof typeof file.functions;

export interface FunctionContract {
  /** The Lambda binary of the Rust workspace. */
  readonly binary: string;
  /** The environment variables that name its resources. */
  readonly variables: readonly string[];
  /** Its role allows these and no others. */
  readonly permissions: readonly Permission[];
}

export interface Permission {
  readonly action: string;
  readonly on:
    | 'stream'
    | 'items'
    | 'itemsByTime'
    | 'ledger'
    | 'bucket'
    | 'objects'
    | 'spillQueue'
    | 'dispatchQueue'
    | 'dispatchDeadLetters'
    | 'rate'
    | 'targetSecret'
    | 'credentials'
    | 'logs'
    | 'everything';
  /** Only with `objects`: the objects with keys that begin so. */
  readonly prefix?: string;
}

/** Variables and permissions that a function has only under a condition. */
export type Extension = Pick<FunctionContract, 'variables' | 'permissions'>;

/** A prefix of the bucket that is a table of SQL, with the columns of its lines. */
export type TableContract = typeof file.tables.events;

/** What ingest needs besides, where events can be read back. */
export interface ReadsContract extends Extension {
  /** Overrides the key `reads.enabled`. */
  readonly enabledVariable: string;
}

/** What ingest needs besides, where the configuration asks for credentials. */
type CredentialsContract = Extension & {
  /** A document without tenants. */
  readonly empty: string;
};

/** Resources of a deployment, as an operator's policy names them: `Place` in `operate/src/permissions.rs`. */
export type Place =
  | 'stack'
  | 'stream'
  | 'items'
  | 'ledger'
  | 'rate'
  | 'bucket'
  | 'queues'
  | 'spillDeadLetters'
  | 'dispatchQueue'
  | 'dispatchDeadLetters'
  | 'functions'
  | 'live'
  | 'roles'
  | 'mapping'
  | 'alarms'
  | 'alarmTopic'
  | 'workGroup'
  | 'catalog'
  | 'everything';

/** Actions on one kind of resource; `objects`: those with keys that begin so. */
export interface OperatorGrant {
  readonly on: Place | { readonly objects: readonly string[] };
  readonly actions: readonly string[];
}

export const CONTRACT = {
  ...file,
  operators: file.operators as Readonly<Record<keyof typeof file.operators, readonly OperatorGrant[]>>,
  functions: file.functions as Readonly<Record<FunctionName, FunctionContract>>,
  reads: file.reads as ReadsContract,
  credentials: file.credentials as CredentialsContract,
  dispatch: {
    ...file.dispatch,
    ofConsumer: file.dispatch.ofConsumer as Extension,
    withSecret: file.dispatch.withSecret as Extension,
  },
};
