import { CfnOutput, CfnRule, Fn, Names, Stack } from 'aws-cdk-lib';
import type { Alarm } from 'aws-cdk-lib/aws-cloudwatch';
import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import type { IManagedPolicy, IRole } from 'aws-cdk-lib/aws-iam';
import type { IStream } from 'aws-cdk-lib/aws-kinesis';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { IBucket, LifecycleRule } from 'aws-cdk-lib/aws-s3';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { checkConfiguration, warnOfUnchecked } from './check';
import type { TidegateProps } from './config';
import { ArchiveBucket } from './constructs/archive-bucket';
import { ArchiveSql } from './constructs/archive-sql';
import { Consumer } from './constructs/consumer';
import { Credentials } from './constructs/credentials';
import { Dispatch } from './constructs/dispatch';
import { EventStream } from './constructs/event-stream';
import { IngestApi } from './constructs/ingest-api';
import { ItemsTable } from './constructs/items-table';
import { LedgerTable } from './constructs/ledger-table';
import { Monitoring } from './constructs/monitoring';
import { Network } from './constructs/network';
import { Operators } from './constructs/operators';
import type { Platform } from './constructs/rust-function';
import { SpillQueue } from './constructs/spill-queue';
import { TenantReader } from './constructs/tenant-reader';
import { withDefaults } from './defaults';
import { checkExisting, type Existing, refuseShared, refuseUnused } from './existing';
import { StageMetrics } from './metrics';
import { overrides, readSettings, readsAreOn, redeliveryDays } from './settings';
import { checkStage } from './stage-check';

/** The whole pipeline, in the order of the data. */
export class Tidegate extends Construct {
  /** Of ingest, with a slash at its end. */
  readonly url: string;
  readonly bucket: IBucket;
  readonly stream: IStream;
  readonly itemsTable: ITable;
  readonly ledgerTable: ITable;
  readonly spillDeadLetters: IQueue;
  /** The alias that the URL belongs to. */
  readonly ingest: IFunction;
  readonly consumer: IFunction;
  /** For foreign producers: attach it to their role. */
  readonly producerPolicy: IManagedPolicy;
  /** Reads the items of one tenant, which the session tag `tenant` names. */
  readonly readerRole: IRole;
  /** For the commands that only look: attach it to the role of an operator. */
  readonly operatorRead: IManagedPolicy;
  /** For `tidegate redrive`, besides `operatorRead`. */
  readonly operatorRedrive: IManagedPolicy;
  /** For `tidegate erase`, besides `operatorRead`. */
  readonly operatorErase: IManagedPolicy;
  /** For `tidegate verify` without its probe, besides `operatorRead`. */
  readonly operatorVerify: IManagedPolicy;
  /** Every alarm. They notify `alarmTopic` when they fire and when they clear. */
  readonly alarms: Alarm[];
  readonly alarmTopic: ITopic;
  /** What the bucket needs by prefix. The owner of `existingBucket` adds them to it. */
  readonly lifecycleRules: LifecycleRule[];
  private readonly existing: Existing;

  constructor(scope: Construct, id: string, props: TidegateProps) {
    super(scope, id);
    const { assets, name = defaultName(this), ...given } = props;
    refuseName(name);
    const config = withDefaults(given);
    const { configuration, encryptionKey: key, protectData } = config;
    const variables = overrides(config);
    const settings = readSettings(configuration, variables);
    if (!checkConfiguration(configuration, variables, assets._programs)) warnOfUnchecked(this);
    if (assets._isPlaceholder) refuseDeployment(this);
    checkStage(this, name, config, settings);
    const { existingBucket, existingStream, existingItemsTable, existingLedgerTable } = config;
    this.existing = { existingBucket, existingStream, existingItemsTable, existingLedgerTable };
    refuseUnused(given);
    refuseShared(this.existing, this.others());
    const reads = readsAreOn(config.reads, settings.reads);
    const metrics = new StageMetrics(name);

    const platform: Platform = {
      metrics,
      assets,
      configuration,
      architecture: config.architecture,
      logRetention: config.logs.retention,
      overrides: variables,
      key,
      keys: distinct([key, ...Object.values<WithKey>(this.existing).map((resource) => resource?.encryptionKey)]),
    };

    const network =
      config.network && new Network(this, 'Network', { ...config.network, secrets: settings.needsCredentials });

    // Ingest needs the bucket's name and the queue's URL, and the tables where it reads: so these come first.
    const archive = new ArchiveBucket(this, 'Archive', {
      ...config.archive,
      redeliveryDays: redeliveryDays(config.records),
      key,
      existing: existingBucket,
    });
    const stream = new EventStream(this, 'Events', {
      stream: config.stream,
      retentionHours: config.records.retentionHours,
      protectData,
      key,
      existing: existingStream,
    });
    const spill = new SpillQueue(this, 'Spill', { platform, network, stream, protectData });
    const items = new ItemsTable(this, 'Items', {
      ...config.items,
      protectData,
      reads,
      key,
      existing: existingItemsTable,
    });
    const ledger = new LedgerTable(this, 'Ledger', { protectData, key, existing: existingLedgerTable });
    const credentials = settings.needsCredentials
      ? new Credentials(this, 'Credentials', { protectData, metrics, key })
      : undefined;
    const ingest = new IngestApi(this, 'Ingest', {
      ...config.ingest,
      platform,
      network,
      settings,
      stream,
      archive,
      spill,
      credentials,
      reads: reads ? { items, ledger } : undefined,
    });

    const dispatch =
      settings.dispatch &&
      new Dispatch(this, 'Dispatch', {
        settings: settings.dispatch,
        secret: config.dispatch.secretArn,
        tracing: config.dispatch.tracing,
        platform,
        items,
        archive,
        protectData,
      });
    const consumer = new Consumer(this, 'Consumer', {
      ...config.consumer,
      recordAgeHours: config.records.ageHours,
      platform,
      network,
      settings,
      stream,
      archive,
      items,
      ledger,
      dispatch,
    });
    // Who reads a format is updated before who writes it (ARCHITECTURE.md#two-releases).
    for (const writer of [ingest.rust, spill.drain]) writer.isUpdatedAfter(consumer.rust);
    if (dispatch !== undefined) consumer.rust.isUpdatedAfter(dispatch.dispatcher);

    const reader = new TenantReader(this, 'Reader', { items });
    const sql = new ArchiveSql(this, 'Sql', { archive, name });
    const monitoring = new Monitoring(this, 'Monitoring', {
      name,
      metrics,
      alarmEmail: config.alarmEmail,
      settings,
      streamConfig: existingStream === undefined ? config.stream : undefined,
      credentials,
      ingest,
      stream,
      spill,
      consumer,
      items,
      ledger,
      dispatch,
    });
    const { policies } = new Operators(this, 'Operators', {
      stream,
      archive,
      spill,
      items,
      ledger,
      ingest,
      consumer,
      dispatch,
      sql,
      monitoring,
      keys: platform.keys,
    });

    this.url = ingest.url.url;
    this.bucket = archive.bucket;
    this.stream = stream.stream;
    this.itemsTable = items.table;
    this.ledgerTable = ledger.table;
    this.spillDeadLetters = spill.deadLetters;
    this.ingest = ingest.alias;
    this.consumer = consumer.rust.function;
    this.producerPolicy = stream.producerPolicy;
    this.readerRole = reader.role;
    this.operatorRead = policies.read;
    this.operatorRedrive = policies.redrive;
    this.operatorErase = policies.erase;
    this.operatorVerify = policies.verify;
    this.alarms = monitoring.alarms;
    this.alarmTopic = monitoring.topic;
    this.lifecycleRules = archive.lifecycleRules;
    const { retentionHours } = config.records;
    checkExisting(this, this.existing, { lifecycleRules: this.lifecycleRules, retentionHours, index: reads });

    const { region } = Stack.of(this);
    // The operator's commands find the deployment by these names (`tidegate doctor --stack`).
    this.outputs({
      Url: this.url,
      Bucket: this.bucket.bucketName,
      ItemsTable: this.itemsTable.tableName,
      LedgerTable: this.ledgerTable.tableName,
      Stream: this.stream.streamName,
      SpillQueue: spill.queue.queueUrl,
      SpillDeadLetters: spill.deadLetters.queueArn,
      IngestFunction: ingest.rust.function.functionName,
      ConsumerFunction: consumer.rust.function.functionName,
      DrainFunction: spill.drain.function.functionName,
      IngestLogs: ingest.rust.logGroup.logGroupName,
      ConsumerLogs: consumer.rust.logGroup.logGroupName,
      DrainLogs: spill.drain.logGroup.logGroupName,
      Mapping: consumer.mapping.eventSourceMappingId,
      ReaderRole: reader.role.roleArn,
      ProducerPolicy: stream.producerPolicy.managedPolicyArn,
      OperatorRead: policies.read.managedPolicyArn,
      OperatorRedrive: policies.redrive.managedPolicyArn,
      OperatorErase: policies.erase.managedPolicyArn,
      OperatorVerify: policies.verify.managedPolicyArn,
      WorkGroup: sql.workGroup.name,
      AlarmTopic: monitoring.topic.topicArn,
      ...(dispatch && {
        DispatchQueue: dispatch.queue.queueUrl,
        DispatchDeadLetters: dispatch.deadLetters.queueUrl,
        RateTable: dispatch.rate.tableName,
        DispatchFunction: dispatch.dispatcher.function.functionName,
        DispatchLogs: dispatch.dispatcher.logGroup.logGroupName,
      }),
      Dashboard: `https://${region}.console.aws.amazon.com/cloudwatch/home?region=${region}#dashboards/dashboard/${monitoring.dashboard.dashboardName}`,
      ...(credentials && { CredentialsSecret: credentials.secret.secretArn }),
    });
  }

  /** What the other deployments of the app use. */
  private others(): Existing[] {
    const all = this.node.root.node.findAll();
    return all.flatMap((other) => (other instanceof Tidegate && other !== this ? [other.existing] : []));
  }

  /** Their names begin with the path of the construct: `EventsUrl` for `new Tidegate(this, 'Events', …)`. */
  private outputs(values: Record<string, string>): void {
    const path = this.node.scopes.slice(Stack.of(this).node.scopes.length).map(({ node }) => node.id);
    const prefix = path.map((id) => (id === 'Default' ? '' : id.replace(/[^A-Za-z0-9]/g, ''))).join('');
    for (const [name, value] of Object.entries(values)) {
      new CfnOutput(this, name, { value }).overrideLogicalId(prefix + name);
    }
  }
}

type WithKey = { readonly encryptionKey?: IKey } | undefined;

function defaultName(scope: Construct): string {
  return Names.uniqueResourceName(scope, { maxLength: 32, separator: '-' }).toLowerCase();
}

/** It is a part of names of Athena and CloudWatch. */
function refuseName(name: string): void {
  if (/^[a-z][a-z0-9-]{0,31}$/.test(name)) return;
  throw new Error(`name \`${name}\` is not allowed (allowed: a small letter, then up to 31 of a-z, 0-9 and -)`);
}

function distinct(keys: readonly (IKey | undefined)[]): IKey[] {
  return [...new Map(keys.flatMap((key) => (key === undefined ? [] : [[key.keyArn, key] as const]))).values()];
}

/** A rule that never holds: CloudFormation refuses the template before it makes anything, and gives this reason. */
function refuseDeployment(scope: Construct): void {
  new CfnRule(scope, 'Placeholder', {
    assertions: [
      {
        assert: Fn.conditionEquals('placeholder', 'functions'),
        assertDescription: 'The functions are placeholders. Deploy their binaries: -c assets=build, or prebuilt.',
      },
    ],
  });
}
