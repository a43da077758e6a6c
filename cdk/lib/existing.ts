/**
 * What a bucket, a stream and tables must be like that are given. Where they are made in the same app, their template says it, and what
 * would lose data or fail is an error of the synthesis. Of others only `tidegate doctor` can see it, after the deployment.
 */

import { Annotations, Stack } from 'aws-cdk-lib';
import { CfnGlobalTable, CfnTable, type ITable } from 'aws-cdk-lib/aws-dynamodb';
import { CfnStream } from 'aws-cdk-lib/aws-kinesis';
import { CfnBucket, type IBucket, type LifecycleRule } from 'aws-cdk-lib/aws-s3';
import type { Construct, IConstruct } from 'constructs';
import type { TidegateProps } from './config';
import { CONTRACT } from './contract';

/** The resources that are given, by the names of their props. */
export type Existing = Pick<
  TidegateProps,
  'existingBucket' | 'existingStream' | 'existingItemsTable' | 'existingLedgerTable'
>;

/** What they must be like. */
export interface Needed {
  readonly lifecycleRules: readonly LifecycleRule[];
  readonly retentionHours: number;
  /** The index by time. */
  readonly index: boolean;
}

/** Refuses what cannot work, when the template is made: an owner may still change a bucket until then. */
export function checkExisting(scope: Construct, existing: Existing, needed: Needed): void {
  const entries = Object.entries<IConstruct | undefined>({ ...existing });
  const given = entries.flatMap(([prop, resource]) => (resource === undefined ? [] : [[prop, resource] as const]));
  scope.node.addValidation({
    validate: () => given.flatMap(([prop, resource]) => problems(prop as keyof Existing, resource, needed)),
  });
  const unseen = given.filter(([, resource]) => cfn(resource) === undefined).map(([prop]) => prop);
  if (unseen.length === 0) return;
  Annotations.of(scope).addWarningV2(
    'tidegate:existing',
    `${unseen.join(', ')}: not made in this app, so not checked: compare with docs/library.md, and run \`tidegate doctor\` after the deployment`,
  );
}

/** A capacity for what is not made here would change nothing. */
export function refuseUnused(props: Omit<TidegateProps, 'assets' | 'name'>): void {
  if (props.existingBucket !== undefined && props.archive?.objectNotifications === true) {
    throw new Error('existingBucket and archive.objectNotifications exclude each other: its owner sets notifications');
  }
  const pairs = [
    ['existingStream', 'stream'],
    ['existingItemsTable', 'items'],
  ] as const;
  for (const [existing, capacity] of pairs) {
    if (props[existing] === undefined || props[capacity] === undefined) continue;
    throw new Error(`${existing} and ${capacity} exclude each other: its owner sets the capacity`);
  }
}

/** Two deployments would mix or overwrite each other's data in one bucket or table. `others` are those of the same app. */
export function refuseShared(existing: Existing, others: readonly Existing[]): void {
  for (const prop of ['existingBucket', 'existingItemsTable', 'existingLedgerTable'] as const) {
    const arn = arnOf(existing[prop]);
    if (arn === undefined || !others.some((other) => arnOf(other[prop]) === arn)) continue;
    throw new Error(`${prop} is used by another Tidegate of this app: each needs its own`);
  }
  const tables = [existing.existingItemsTable, existing.existingLedgerTable].map(arnOf);
  if (tables[0] !== undefined && tables[0] === tables[1]) {
    throw new Error('existingItemsTable and existingLedgerTable are the same table: give two');
  }
}

function arnOf(resource: IBucket | ITable | undefined): string | undefined {
  if (resource === undefined) return undefined;
  const arn = 'bucketArn' in resource ? resource.bucketArn : resource.tableArn;
  const stack = Stack.of(resource);
  // What the app makes has its ARN by its name in the stack.
  return JSON.stringify([stack.resolve(arn), cfn(resource) && stack.node.path]);
}

/** The resource in the template, if the app makes it. */
function cfn(resource: IConstruct): IConstruct | undefined {
  return resource.node.defaultChild;
}

function problems(prop: keyof Existing, resource: IConstruct, needed: Needed): string[] {
  const made = cfn(resource);
  const at = `${prop} (${resource.node.path})`;
  const resolve = <T>(value: T) => Stack.of(resource).resolve(value) as T;
  if (CfnBucket.isCfnBucket(made)) {
    const rules = (resolve(made.lifecycleConfiguration) as CfnBucket.LifecycleConfigurationProperty | undefined)?.rules;
    return expirations(at, (rules ?? []) as CfnBucket.RuleProperty[], needed.lifecycleRules);
  }
  if (CfnStream.isCfnStream(made)) {
    const hours = made.retentionPeriodHours ?? 24;
    if (hours === needed.retentionHours) return [];
    return [
      `${at} has records for ${hours} hours, but records.retentionHours is ${needed.retentionHours}: set it to ${hours}`,
    ];
  }
  if (CfnTable.isCfnTable(made) || CfnGlobalTable.isCfnGlobalTable(made)) {
    const { keySchema, attributeDefinitions, timeToLiveSpecification, globalSecondaryIndexes } = made;
    const shape = resolve({ keySchema, attributeDefinitions, timeToLiveSpecification, globalSecondaryIndexes });
    return ofTable(at, shape as TableShape, prop === 'existingItemsTable', needed.index);
  }
  return [];
}

/** An object that is deleted early is lost; one that is never deleted costs. */
function expirations(at: string, rules: CfnBucket.RuleProperty[], needed: readonly LifecycleRule[]): string[] {
  const prefixes = [...CONTRACT.prefixes.archive, ...CONTRACT.prefixes.temporary];
  return prefixes.flatMap((prefix) => {
    const days = needed.find((rule) => rule.prefix === prefix && rule.expiration)?.expiration?.toDays();
    const own = rules.filter(
      (rule) =>
        rule.status === 'Enabled' && prefix.startsWith(rule.prefix ?? '') && rule.expirationInDays !== undefined,
    );
    const found =
      own.length === 0 ? undefined : Math.min(...own.map(({ expirationInDays = Infinity }) => expirationInDays));
    if (found === days) return [];
    const is = found === undefined ? 'never deletes' : `deletes after ${found} days`;
    const must = days === undefined ? 'never' : `after ${days} days`;
    return [
      `${at} ${is} objects under ${prefix}, but it must be ${must}: add the \`lifecycleRules\` of Tidegate to it`,
    ];
  });
}

/** What `Table` and `TableV2` write into the template alike. */
interface TableShape {
  readonly keySchema: readonly { readonly attributeName: string; readonly keyType: string }[];
  readonly attributeDefinitions?: readonly { readonly attributeName: string; readonly attributeType: string }[];
  readonly timeToLiveSpecification?: { readonly attributeName?: string; readonly enabled?: boolean };
  readonly globalSecondaryIndexes?: readonly (Pick<TableShape, 'keySchema'> & { readonly indexName: string })[];
}

function ofTable(at: string, table: TableShape, isItems: boolean, needsIndex: boolean): string[] {
  const { partitionKey, sortKey, expiresAt, index } = CONTRACT.items;
  const found: string[] = [];
  if (!hasKeys(table, table, partitionKey, sortKey)) {
    found.push(`${at} must have the partition key \`${partitionKey}\` and the sort key \`${sortKey}\`, both strings`);
  }
  const { attributeName, enabled } = table.timeToLiveSpecification ?? {};
  const expires = enabled === true ? attributeName : undefined;
  if (isItems && expires !== expiresAt) found.push(`${at} must have the time-to-live attribute \`${expiresAt}\``);
  if (!isItems && expires !== undefined) found.push(`${at} must have no time to live: the ledger never expires`);
  const byTime = table.globalSecondaryIndexes?.find(({ indexName }) => indexName === index.name);
  if (isItems && needsIndex && (!byTime || !hasKeys(table, byTime, index.partitionKey, index.sortKey))) {
    found.push(
      `${at} must have the index \`${index.name}\` with the keys \`${index.partitionKey}\` and \`${index.sortKey}\`, both ` +
        'strings, since events are read back',
    );
  }
  return found;
}

function hasKeys(
  { attributeDefinitions = [] }: TableShape,
  { keySchema }: Pick<TableShape, 'keySchema'>,
  partitionKey: string,
  sortKey: string,
): boolean {
  const isString = (name: string) =>
    attributeDefinitions.some(({ attributeName, attributeType }) => attributeName === name && attributeType === 'S');
  const keys = keySchema.map(({ attributeName, keyType }) => `${keyType} ${attributeName}`);
  return keys.join() === `HASH ${partitionKey},RANGE ${sortKey}` && isString(partitionKey) && isString(sortKey);
}
