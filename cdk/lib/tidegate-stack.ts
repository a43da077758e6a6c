import { CfnOutput, Stack, type StackProps, Tags } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import type { FunctionAssets } from './assets';
import type { StageConfig } from './config';
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
import type { Platform } from './constructs/rust-function';
import { SpillQueue } from './constructs/spill-queue';
import { TenantReader } from './constructs/tenant-reader';
import { StageMetrics } from './metrics';
import { type Settings, overrides, readsAreOn, redeliveryDays } from './settings';
import { checkStage } from './stage-check';

export interface TidegateStackProps extends StackProps {
  readonly config: StageConfig;
  readonly settings: Settings;
  readonly assets: FunctionAssets;
}

/** The whole deployment, in the order of the data. */
export class TidegateStack extends Stack {
  constructor(scope: Construct, id: string, props: TidegateStackProps) {
    const { account, region } = props.config;
    super(scope, id, { env: { account, region }, ...props });
    const { config, settings } = props;
    const { protectData, metricMath } = config;
    checkStage(this, config, settings);
    const reads = readsAreOn(config.reads, settings.reads);
    const key = config.keyArn === undefined ? undefined : Key.fromKeyArn(this, 'Key', config.keyArn);
    const metrics = new StageMetrics(config.stage);
    const platform: Platform = {
      metrics,
      assets: props.assets,
      architecture: config.architecture,
      logRetentionDays: config.logs.retentionDays,
      overrides: overrides(config),
      key,
    };

    const network =
      config.network && new Network(this, 'Network', { ...config.network, secrets: settings.needsCredentials });

    // Ingest needs the bucket's name and the queue's URL, and the tables where it reads: so these come first.
    const archive = new ArchiveBucket(this, 'Archive', {
      ...config.archive,
      redeliveryDays: redeliveryDays(config.records),
      key,
    });
    const stream = new EventStream(this, 'Events', {
      stream: config.stream,
      retentionHours: config.records.retentionHours,
      protectData,
      key,
    });
    const spill = new SpillQueue(this, 'Spill', { platform, network, stream, protectData, metricMath });
    const items = new ItemsTable(this, 'Items', { ...config.items, protectData, metricMath, reads, key });
    const ledger = new LedgerTable(this, 'Ledger', { protectData, key });
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
        ...config.dispatch,
        settings: settings.dispatch,
        secret: config.dispatchSecret,
        platform,
        items,
        archive,
        protectData,
        metricMath,
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

    const reader = new TenantReader(this, 'Reader', { items, key });
    const sql = new ArchiveSql(this, 'Sql', { archive, stage: config.stage, namedQueries: config.namedQueries });
    const monitoring = new Monitoring(this, 'Monitoring', {
      stage: config.stage,
      metrics,
      alarmEmail: config.alarmEmail,
      settings,
      streamConfig: config.stream,
      credentials,
      ingest,
      stream,
      spill,
      consumer,
      items,
      ledger,
      dispatch,
    });

    for (const [key, value] of Object.entries(config.tags)) Tags.of(this).add(key, value);
    // The operator's commands find the deployment by these names (`tidegate doctor --stack`).
    this.outputs({
      Url: ingest.url.url,
      Bucket: archive.bucket.bucketName,
      ItemsTable: items.table.tableName,
      LedgerTable: ledger.table.tableName,
      Stream: stream.stream.streamName,
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
      WorkGroup: sql.workGroup.name,
      AlarmTopic: monitoring.topic.topicArn,
      ...(dispatch && {
        DispatchQueue: dispatch.queue.queueUrl,
        DispatchDeadLetters: dispatch.deadLetters.queueUrl,
        RateTable: dispatch.rate.tableName,
        DispatchFunction: dispatch.dispatcher.function.functionName,
        DispatchLogs: dispatch.dispatcher.logGroup.logGroupName,
      }),
      Dashboard: `https://${this.region}.console.aws.amazon.com/cloudwatch/home?region=${this.region}#dashboards/dashboard/${monitoring.dashboard.dashboardName}`,
    });
    if (credentials !== undefined) this.outputs({ CredentialsSecret: credentials.secret.secretArn });
  }

  private outputs(values: Record<string, string>): void {
    for (const [name, value] of Object.entries(values)) new CfnOutput(this, name, { value });
  }
}
