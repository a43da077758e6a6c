import { ArnFormat, Stack } from 'aws-cdk-lib';
import { ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { CONTRACT, type OperatorGrant, type Place } from '../contract';
import type { ArchiveBucket } from './archive-bucket';
import type { ArchiveSql } from './archive-sql';
import type { Consumer } from './consumer';
import type { Dispatch } from './dispatch';
import type { EventStream } from './event-stream';
import type { IngestApi } from './ingest-api';
import type { ItemsTable } from './items-table';
import type { LedgerTable } from './ledger-table';
import type { Monitoring } from './monitoring';
import { acknowledgeWildcard, usesKey } from './resources';
import type { SpillQueue } from './spill-queue';

export interface OperatorsProps {
  readonly stream: EventStream;
  readonly archive: ArchiveBucket;
  readonly spill: SpillQueue;
  readonly items: ItemsTable;
  readonly ledger: LedgerTable;
  readonly ingest: IngestApi;
  readonly consumer: Consumer;
  /** `undefined` where dispatch is off. */
  readonly dispatch?: Dispatch;
  readonly sql: ArchiveSql;
  readonly monitoring: Monitoring;
  /** That encrypt what the commands read and write. */
  readonly keys: readonly IKey[];
}

const ABOUT = {
  read: 'Tidegate: status, audit, cat, tail, trace, doctor. It changes nothing.',
  redrive: 'Tidegate: redrive, besides what the policy for reading allows.',
  erase: 'Tidegate: erase, besides what the policy for reading allows. It deletes events.',
  verify: 'Tidegate: verify without its probe, besides what the policy for reading allows.',
} as const;

const WILDCARD =
  'Of objects, alarms and the stack only the beginning of a name is known here; Lambda lists mappings, and CloudWatch reads metrics, of ' +
  'the whole account only.';

/** Policies for the people and workflows that run `tidegate`. They are attached to no role. */
export class Operators extends Construct {
  /** The first is needed by all commands; each of the others adds one command. */
  readonly policies: Readonly<Record<keyof typeof ABOUT, ManagedPolicy>>;

  constructor(scope: Construct, id: string, props: OperatorsProps) {
    super(scope, id);
    const arns = places(Stack.of(this), props);
    this.policies = {
      read: this.policy('read', arns, props),
      redrive: this.policy('redrive', arns, props),
      erase: this.policy('erase', arns, props),
      verify: this.policy('verify', arns, props),
    };
  }

  private policy(name: keyof typeof ABOUT, arns: Readonly<Record<Place, string[]>>, props: OperatorsProps) {
    const { bucket } = props.archive;
    const on = ({ on }: OperatorGrant) =>
      typeof on === 'string' ? arns[on] : on.objects.map((prefix) => bucket.arnForObjects(`${prefix}*`));
    const statements = CONTRACT.operators[name]
      .map((grant) => ({ actions: [...grant.actions], resources: on(grant) }))
      .filter(({ resources }) => resources.length > 0)
      .map((statement) => new PolicyStatement(statement));
    const id = `Operator${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    const policy = new ManagedPolicy(this, id, {
      description: ABOUT[name],
      statements: [...statements, ...props.keys.map(name === 'read' ? decrypts : usesKey)],
    });
    for (const arn of new Set(statements.flatMap(({ resources }) => resources))) {
      if (arn.endsWith('*')) acknowledgeWildcard(policy, arn, WILDCARD);
    }
    return policy;
  }
}

/** What is read was encrypted before. */
function decrypts(key: IKey): PolicyStatement {
  return new PolicyStatement({ actions: ['kms:Decrypt'], resources: [key.keyArn] });
}

/** What each place is here. None of dispatch where that is off. */
function places(stack: Stack, props: OperatorsProps): Record<Place, string[]> {
  const { stream, archive, spill, items, ledger, ingest, consumer, dispatch, sql, monitoring } = props;
  const functions = [ingest.rust, spill.drain, consumer.rust, ...(dispatch === undefined ? [] : [dispatch.dispatcher])];
  const ofDispatch = (arn: (of: Dispatch) => string) => (dispatch === undefined ? [] : [arn(dispatch)]);
  const glue = (resource: string) => stack.formatArn({ service: 'glue', resource });
  const { databaseName } = sql.database;
  return {
    // CloudFormation asks for the name of a stack, which it has before its id.
    stack: [stack.formatArn({ service: 'cloudformation', resource: 'stack', resourceName: `${stack.stackName}/*` })],
    stream: [stream.stream.streamArn],
    items: [items.table.tableArn],
    ledger: [ledger.table.tableArn],
    rate: ofDispatch(({ rate }) => rate.tableArn),
    bucket: [archive.bucket.bucketArn],
    queues: [
      spill.queue.queueArn,
      spill.deadLetters.queueArn,
      ...ofDispatch(({ queue }) => queue.queueArn),
      ...ofDispatch(({ deadLetters }) => deadLetters.queueArn),
    ],
    spillDeadLetters: [spill.deadLetters.queueArn],
    dispatchQueue: ofDispatch(({ queue }) => queue.queueArn),
    dispatchDeadLetters: ofDispatch(({ deadLetters }) => deadLetters.queueArn),
    functions: functions.map((rust) => rust.function.functionArn),
    live: [ingest.alias.functionArn],
    roles: functions.map((rust) => rust.role.roleArn),
    mapping: [consumer.mapping.eventSourceMappingArn],
    // CloudFormation names them by the stack, their id and a random text.
    alarms: [
      stack.formatArn({
        service: 'cloudwatch',
        resource: 'alarm',
        resourceName: `${stack.stackName}-*`,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
    ],
    alarmTopic: [monitoring.topic.topicArn],
    workGroup: [stack.formatArn({ service: 'athena', resource: 'workgroup', resourceName: sql.workGroup.name })],
    catalog: [glue('catalog'), glue(`database/${databaseName}`), glue(`table/${databaseName}/*`)],
    everything: ['*'],
  };
}
