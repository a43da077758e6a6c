/** Gives a function its variables and its role the permissions of the contract. */

import { Stack, Validations } from 'aws-cdk-lib';
import { type ITable, TableEncryption, type TableProps } from 'aws-cdk-lib/aws-dynamodb';
import { PolicyStatement, type Role } from 'aws-cdk-lib/aws-iam';
import type { IStream } from 'aws-cdk-lib/aws-kinesis';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { IConstruct } from 'constructs';
import { CONTRACT, type Extension, type FunctionName, type Permission } from '../contract';

/** A function gets those that its contract names. */
export interface Resources {
  readonly stream?: IStream;
  readonly items?: ITable;
  readonly ledger?: ITable;
  readonly bucket?: IBucket;
  readonly spillQueue?: IQueue;
  readonly dispatchQueue?: IQueue;
  readonly dispatchDeadLetters?: IQueue;
  /** The table of the slot counter. */
  readonly rate?: ITable;
  /** The ARN of the secret for the target of dispatch. */
  readonly targetSecret?: string;
  /** Only where the configuration asks for credentials. */
  readonly credentials?: ISecret;
}

const VALUES: Readonly<Record<string, (resources: Resources) => string | undefined>> = {
  TIDEGATE_STREAM: ({ stream }) => stream?.streamName,
  TIDEGATE_ITEMS_TABLE: ({ items }) => items?.tableName,
  TIDEGATE_LEDGER_TABLE: ({ ledger }) => ledger?.tableName,
  TIDEGATE_BUCKET: ({ bucket }) => bucket?.bucketName,
  TIDEGATE_SPILL_QUEUE: ({ spillQueue }) => spillQueue?.queueUrl,
  TIDEGATE_DISPATCH_QUEUE: ({ dispatchQueue }) => dispatchQueue?.queueUrl,
  TIDEGATE_DISPATCH_DEAD_LETTERS: ({ dispatchDeadLetters }) => dispatchDeadLetters?.queueUrl,
  TIDEGATE_RATE_TABLE: ({ rate }) => rate?.tableName,
  TIDEGATE_DISPATCH_SECRET_ARN: ({ targetSecret }) => targetSecret,
  TIDEGATE_CREDENTIALS_SECRET: ({ credentials }) => credentials?.secretArn,
};

/** The function's environment variables. `more` are those that it has under a condition. */
export function environment(
  name: FunctionName,
  resources: Resources,
  more: readonly Extension[],
): Record<string, string> {
  const variables = [CONTRACT.functions[name], ...more].flatMap((contract) => contract.variables);
  return Object.fromEntries(
    variables.map((variable) => [variable, given(VALUES[variable]?.(resources), `${name} reads ${variable}`)]),
  );
}

/** Allows the role the function's permissions. Logs and traces are granted where they are configured. */
export function grant(name: FunctionName, role: Role, resources: Resources, more: readonly Extension[]): void {
  for (const permission of [CONTRACT.functions[name], ...more].flatMap(({ permissions }) => permissions)) {
    if (permission.on === 'logs' || permission.on === 'everything') continue;
    const arn = given(arnOf(permission, resources), `${name} needs ${permission.action}`);
    role.addToPolicy(new PolicyStatement({ actions: [permission.action], resources: [arn] }));
    if (permission.prefix !== undefined) {
      acknowledgeWildcard(
        role,
        arn,
        `Keys under ${permission.prefix} contain tenants, ids and sequence numbers: only the prefix is known here.`,
      );
    }
  }
}

function arnOf({ on, prefix }: Permission, resources: Resources): string | undefined {
  switch (on) {
    case 'stream':
      return resources.stream?.streamArn;
    case 'items':
      return resources.items?.tableArn;
    case 'itemsByTime':
      return resources.items && `${resources.items.tableArn}/index/${CONTRACT.items.index.name}`;
    case 'ledger':
      return resources.ledger?.tableArn;
    case 'bucket':
      return resources.bucket?.bucketArn;
    case 'objects':
      return resources.bucket?.arnForObjects(`${prefix ?? ''}*`);
    case 'spillQueue':
      return resources.spillQueue?.queueArn;
    case 'dispatchQueue':
      return resources.dispatchQueue?.queueArn;
    case 'dispatchDeadLetters':
      return resources.dispatchDeadLetters?.queueArn;
    case 'rate':
      return resources.rate?.tableArn;
    case 'targetSecret':
      return resources.targetSecret;
    case 'credentials':
      return resources.credentials?.secretArn;
    default:
      return undefined;
  }
}

/** With a key of the account: its users need these besides, since the services use the key in their name. */
export function usesKey(key: IKey): PolicyStatement {
  return new PolicyStatement({ actions: CONTRACT.actions.byKey, resources: [key.keyArn] });
}

export function tableEncryption(key: IKey | undefined): Pick<TableProps, 'encryption' | 'encryptionKey'> {
  return key === undefined
    ? { encryption: TableEncryption.AWS_MANAGED }
    : { encryption: TableEncryption.CUSTOMER_MANAGED, encryptionKey: key };
}

/** Tells cdk-nag why a resource of a policy's statement has a wildcard. It names its findings by the ARN, with references in brackets. */
export function acknowledgeWildcard(policy: IConstruct, arn: string, reason: string): void {
  Validations.of(policy).acknowledge({
    id: `AwsSolutions-IAM5[Resource::${shown(Stack.of(policy).resolve(arn))}]`,
    reason,
  });
}

/** A value of a template as cdk-nag shows it. */
function shown(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  const { Ref: name, 'Fn::GetAtt': attribute, 'Fn::Join': join } = value as Record<string, unknown>;
  if (typeof name === 'string') return `<${name}>`;
  if (Array.isArray(attribute)) return `<${attribute.join('.')}>`;
  if (Array.isArray(join)) return (join[1] as unknown[]).map(shown).join(String(join[0]));
  return JSON.stringify(value);
}

function given<T>(value: T | undefined, need: string): T {
  if (value === undefined) throw new Error(`${need}, but the stack does not give it to the function`);
  return value;
}
