/**
 * Every setting of a stage: its values, its default, its meaning. `-c NAME=VALUE` and a stage's file give the same settings, and
 * `docs/settings.md` has the table that is made from here.
 */

import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ProvisionedCapacity } from './config';
import { CONTRACT } from './contract';

/** What a reader answers to a value that is not allowed. */
export const REFUSED: unique symbol = Symbol('refused');

/** Reads the text of a value. */
type Reader<T> = (text: string) => T | typeof REFUSED;

export interface Setting<T> {
  readonly meaning: string;
  /** For errors and for the table. */
  readonly allowed: string;
  /** Read like a given value. Without it the setting is `undefined`. */
  readonly byDefault?: string;
  readonly read: Reader<T>;
}

type Values<S> = { readonly [Name in keyof S]: S[Name] extends Setting<infer T> ? T : never };

function flag(byDefault: boolean, meaning: string): Setting<boolean> {
  return { meaning, ...anyFlag, byDefault: String(byDefault) };
}

function choice<T extends string>(values: readonly [T, ...T[]], meaning: string): Setting<T> {
  const read = (text: string) => values.find((value) => value === text) ?? REFUSED;
  return { meaning, allowed: values.map(code).join(' or '), byDefault: values[0], read };
}

function whole(least: number, most: number, byDefault: number, meaning: string): Setting<number> {
  return { meaning, allowed: range(least, most), byDefault: String(byDefault), read: wholeNumber(least, most) };
}

/** A number, or a word for none. */
function wholeOr(word: string, least: number, most: number, meaning: string): Setting<number | undefined> {
  const read = (text: string) => (text === word ? undefined : wholeNumber(least, most)(text));
  return { meaning, allowed: `${code(word)}, or ${range(least, most)}`, byDefault: word, read };
}

/** It has no default. */
function optional(pattern: RegExp, allowed: string, meaning: string): Setting<string | undefined> {
  return { meaning, allowed, read: (text) => (pattern.test(text) ? text : REFUSED) };
}

function wholeNumber(least: number, most: number): Reader<number> {
  return (text) => (/^\d+$/.test(text) && Number(text) >= least && Number(text) <= most ? Number(text) : REFUSED);
}

const anyFlag = {
  allowed: '`true` or `false`',
  read: (text: string) => (text === 'true' || text === 'false' ? text === 'true' : REFUSED),
};

/** An id of EC2: older ones are shorter. */
function idOf(kind: string): RegExp {
  return new RegExp(`^${kind}-([\\da-f]{8}|[\\da-f]{17})$`);
}

function ids(kind: string, meaning: string): Setting<string[]> {
  const pattern = idOf(kind);
  const read = (text: string) => {
    const found = text === 'none' ? [] : text.split(',');
    return found.every((id) => pattern.test(id)) ? found : REFUSED;
  };
  return {
    meaning,
    allowed: `${code('none')}, or ids such as ${code(`${kind}-0a1b2c3d,${kind}-1a2b3c4d`)}`,
    byDefault: 'none',
    read,
  };
}

function accounts(meaning: string): Setting<string[]> {
  const read = (text: string) => {
    const found = text === 'none' ? [] : text.split(',');
    return found.every((id) => /^\d{12}$/.test(id)) ? found : REFUSED;
  };
  return {
    meaning,
    allowed: `${code('none')}, or numbers such as ${code('111122223333,444455556666')}`,
    byDefault: 'none',
    read,
  };
}

/** A name that DynamoDB takes. */
const TABLE = /^[\w.-]{3,255}$/;

const SHARDS = { least: 1, most: 10_000 };

/** A number of shards, or none of its own. */
function stream(text: string): number | 'on-demand' | typeof REFUSED {
  return text === 'on-demand' ? text : wholeNumber(SHARDS.least, SHARDS.most)(text);
}

/** Bounds of provisioned write units. */
export type Bounds = Pick<ProvisionedCapacity, 'minWriteUnits' | 'maxWriteUnits'>;

function capacity(text: string): Bounds | undefined | typeof REFUSED {
  if (text === 'on-demand') return undefined;
  const [minWriteUnits = NaN, maxWriteUnits = NaN] = /^\d+-\d+$/.test(text) ? text.split('-').map(Number) : [];
  return minWriteUnits >= 1 && maxWriteUnits >= minWriteUnits ? { minWriteUnits, maxWriteUnits } : REFUSED;
}

/** CloudWatch Logs has no others. */
const LOG_DAYS = Object.values(RetentionDays).filter(
  (days) => typeof days === 'number' && days !== RetentionDays.INFINITE,
);

function logDays(text: string): RetentionDays | typeof REFUSED {
  return (LOG_DAYS.find((days) => String(days) === text) as RetentionDays | undefined) ?? REFUSED;
}

/**
 * The target of auto scaling. It raises the capacity by its inverse at each step, since a table that refuses writes is used to 100 %:
 * at 90 % a peak would take three times as long to be stored.
 */
export const PROVISIONED_USE_PERCENT = 80;
const { memoryMb: ingestMb } = CONTRACT.ingest;
const { memoryMb: consumerMb } = CONTRACT.consumer;
const HOUR = 3_600;

export const SETTINGS = {
  account: optional(
    /^\d{12}$/,
    'twelve digits',
    'The account that it is deployed to. Without it, that of the credentials.',
  ),
  region: optional(
    /^[a-z]{2}(-[a-z]+)+-\d+$/,
    'a name such as `eu-central-1`',
    'The region that it is deployed to. Without it, that of the credentials.',
  ),
  protectData: flag(
    true,
    'Stream and queues stay when the stack is deleted, tables cannot be deleted, and nor can the stack itself. Tables and bucket stay in any case.',
  ),
  public: flag(
    false,
    'Anyone who finds the URL may send as any tenant. Without it, that is refused: set `auth.mode`, or `auth`.',
  ),
  auth: choice<'none' | 'iam'>(
    ['none', 'iam'],
    'Of the URL. `iam`: only callers that the account allows, with requests that are signed (SigV4).',
  ),
  reads: {
    meaning:
      'Events can be read back over HTTP. It costs a write unit for each event. Without it, the key `reads.enabled` decides.',
    ...anyFlag,
  },
  stream: {
    meaning:
      'The number of shards: each takes 1 MB/s and 1,000 records/s. On demand, Kinesis adds shards by itself, and bills bytes: ' +
      'set `publish.compress_from_bytes` to 1,024.',
    allowed: `${code('on-demand')}, or ${range(SHARDS.least, SHARDS.most)}`,
    byDefault: '1',
    read: stream,
  },
  producerAccounts: accounts(
    'Other accounts that may put records on the stream, as any tenant: [below](#producers-of-another-account). Needs `keyArn`.',
  ),
  retentionHours: whole(
    24,
    8_760,
    CONTRACT.stream.retentionSeconds / HOUR,
    'How long the stream has a record. More than 24 costs more. Claim checks live longer by as much.',
  ),
  recordAgeHours: whole(
    1,
    168,
    CONTRACT.mapping.recordAgeSeconds / HOUR,
    'How long a record that fails is retried, then it goes to the failure destination. Less than `retentionHours`.',
  ),
  ingestMemoryMb: whole(
    128,
    10_240,
    ingestMb,
    'Memory of ingest. It must hold the largest body (`limits.body_bytes`): less than it needs is refused.',
  ),
  reservedConcurrency: wholeOr(
    'none',
    1,
    100_000,
    'Requests that ingest processes at once. It is also a limit on its rate: see below. `none`: it shares what the account has.',
  ),
  canary: flag(
    true,
    'A new version of ingest gets a tenth of the traffic for ten minutes, and is rolled back if an alarm fires.',
  ),
  consumerMemoryMb: whole(
    128,
    10_240,
    consumerMb,
    'Memory of the consumer. With 1,769 it has one processor. It must hold what one batch reads, twice: less is refused.',
  ),
  architecture: choice<'x86_64' | 'arm64'>(
    ['x86_64', 'arm64'],
    'The processor of the functions. `arm64` costs a fifth less for the time. **Not tried.**',
  ),
  tracing: flag(false, 'X-Ray traces a request a second and 5 % of the others: $0.25 a million requests.'),
  itemsCapacity: {
    meaning:
      'The least and the most write units a second of the items, if they are [provisioned](cost.md#provisioned-capacity). For a steady ' +
      'load that costs a third.',
    allowed: `${code('on-demand')}, or two numbers such as ${code('100-6000')}`,
    byDefault: 'on-demand',
    read: capacity,
  },
  itemsUsePercent: whole(
    20,
    90,
    PROVISIONED_USE_PERCENT,
    'How much of provisioned capacity auto scaling aims to use. More is cheaper, and slower at a peak.',
  ),
  itemsWarmUnits: wholeOr(
    'none',
    4_000,
    1_000_000,
    'Write units a second that an on-demand table takes from the start. A new table takes 4,000.',
  ),
  itemsTable: optional(
    TABLE,
    'the name of a table',
    'A table to use for the items instead of the one of the stack, such as a [restored](recovery.md#a-table) one. The old one stays.',
  ),
  ledgerTable: optional(TABLE, 'the name of a table', 'The same for the ledger.'),
  archiveVersioned: flag(true, 'Deleted and overwritten objects stay for 30 days.'),
  archiveInfrequentDays: whole(
    30,
    3_650,
    30,
    'When objects of the archive move to Infrequent Access, if they are so large that it [pays](cost.md#infrequent-access).',
  ),
  archiveExpireDays: wholeOr('never', 1, 36_500, 'When the archive is deleted, with all that its lines refer to.'),
  failuresDays: whole(
    1,
    3_650,
    180,
    'How long quarantine and failed batches wait to be redriven. The lifetimes of claim checks and of notes in `redriven/` follow from it.',
  ),
  objectNotifications: flag(
    false,
    'S3 tells EventBridge of each new object, so that rules of yours can start work on it: [below](#new-objects).',
  ),
  logDays: {
    meaning: 'How long logs are stored.',
    allowed: `one of ${LOG_DAYS.join(', ')}`,
    byDefault: String(RetentionDays.THREE_MONTHS),
    read: logDays,
  },
  keyArn: optional(
    /^arn:aws[\w-]*:kms:[\w-]+:\d{12}:key\/[\w-]+$/,
    'the ARN of a key',
    'A KMS key of yours encrypts bucket, stream, tables, queues and the secret of the credentials. Without it, [keys of AWS](cost.md#assumptions) do.',
  ),
  vpc: optional(
    idOf('vpc'),
    'the id of a VPC',
    'Ingest, drain and consumer are in this VPC: [below](#a-vpc). Needs `subnets`.',
  ),
  subnets: ids('subnet', 'The private subnets of the functions, in the VPC.'),
  routeTables: ids(
    'rtb',
    'The route tables of the subnets. With them the stack makes the endpoints that the functions need; without them the VPC must have them.',
  ),
  alarmEmail: optional(
    /^\S+@\S+$/,
    'an address',
    'Gets the alarms. It must confirm. Without it, the topic has no subscriber.',
  ),
  monthlyBudget: wholeOr(
    'none',
    1,
    1_000_000,
    'Dollars a month. The alarm topic is told when 80 % are spent, and when a month will cost more: [below](#a-budget).',
  ),
  costCenter: {
    ...optional(/^.{1,256}$/, 'any text', 'The value of the tag `cost-center`, on every resource.'),
    byDefault: 'tidegate',
  },
  dispatchSecret: optional(/^arn:/, 'the ARN of a secret', 'The secret for the target of [dispatch](dispatch.md).'),
  dispatchUrl: optional(/./, 'a URL', "The target's address, instead of the key `dispatch.url`."),
} as const satisfies Record<string, Setting<unknown>>;

export type SettingName = keyof typeof SETTINGS;
export type StageSettings = Values<typeof SETTINGS>;

/** The settings of an empty stage's file. */
export function defaultSettings(): StageSettings {
  const read = ([name, { byDefault, read }]: [string, Setting<unknown>]) => [name, byDefault && read(byDefault)];
  return Object.fromEntries(Object.entries(SETTINGS).map(read)) as StageSettings;
}

function code(text: string): string {
  return `\`${text}\``;
}

function range(least: number, most: number): string {
  return `${least.toLocaleString('en')} to ${most.toLocaleString('en')}`;
}
