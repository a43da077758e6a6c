import { Annotations, CfnOutput, Stack, type StackProps, Tags } from 'aws-cdk-lib';
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
import { CONTRACT } from './contract';
import { type Settings, overrides, readsAreOn, redeliveryDays } from './settings';

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
    refusePublic(config, settings);
    const reads = readsAreOn(config.reads, settings.reads);
    refuseLittleMemory(config, settings);
    refuseShortItems(config, settings);
    warnOfPlaceholder(this, config, settings);
    warnOfBilledBytes(this, config, settings);
    const key = config.keyArn === undefined ? undefined : Key.fromKeyArn(this, 'Key', config.keyArn);
    const platform: Platform = {
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
      ? new Credentials(this, 'Credentials', { protectData, key })
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

/** The recipe's address of a target never resolves. Without this warning, the first sign would be the alarm `dispatch-stuck`. */
function warnOfPlaceholder(scope: Construct, { dispatchUrl }: StageConfig, { dispatch }: Settings): void {
  if (dispatchUrl !== undefined) {
    if (dispatch === undefined) {
      throw new Error('-c dispatchUrl= is given, but dispatch is off: set dispatch.enabled = true, or leave it out');
    }
    if (!/^https?:\/\/[^/:?#\s][^#\s]*$/.test(dispatchUrl)) {
      throw new Error(
        `dispatchUrl \`${dispatchUrl}\` is not allowed (allowed: a URL such as https://target.example.com/graphql)`,
      );
    }
  } else if (dispatch !== undefined && new URL(dispatch.url).hostname.endsWith('.invalid')) {
    Annotations.of(scope).addWarningV2(
      'tidegate:dispatch-url',
      `dispatch.url is the placeholder ${dispatch.url}: events wait, and become dead letters after dispatch.max_attempts calls: ` +
        "give the target's address by -c dispatchUrl=",
    );
  }
}

/** A URL without credentials and without IAM lets anyone write as any tenant. That must be meant. */
function refusePublic({ stage, mayBePublic, ingest }: StageConfig, { needsCredentials }: Settings): void {
  if (mayBePublic || needsCredentials || ingest.auth === 'iam') return;
  throw new Error(
    `${stage} would be public: auth.mode is \`none\`, so anyone who finds the URL can send as any tenant: set auth.mode to ` +
      '`api_key` or `signature` in tidegate.toml, or deploy with -c auth=iam, or, if this is meant, with -c public=true',
  );
}

/** A body or a batch that does not fit ends the function, again at each retry. */
function refuseLittleMemory({ ingest, consumer }: StageConfig, { ingestMb, consumerMb }: Settings): void {
  const functions = [
    ['ingest', ingest.memoryMb, ingestMb, 'limits.body_bytes'],
    ['consumer', consumer.memoryMb, consumerMb, 'limits.batch_bytes and limits.claim_check_bytes'],
  ] as const;
  for (const [name, given, least, keys] of functions) {
    if (given >= least) continue;
    throw new Error(
      `${name} has ${given} MB of memory, but by ${keys} it needs ${least}: set ${name}MemoryMb to at least ${least}, or lower the keys`,
    );
  }
}

/** An event that comes again after its item has expired would be stored a second time. */
function refuseShortItems({ records }: StageConfig, { itemDays }: Settings): void {
  const days = redeliveryDays(records);
  if (itemDays >= days) return;
  throw new Error(
    `an item lives ${itemDays} days by items.days_to_live, but with retentionHours ${records.retentionHours} an event may come again ` +
      `after ${days} days: set items.days_to_live to at least ${days}, or lower retentionHours`,
  );
}

/** An on-demand stream bills bytes, and none of 25 KB begun: there compressing a small record saves money. */
function warnOfBilledBytes(scope: Construct, { stream }: StageConfig, { compressFromBytes }: Settings): void {
  if (stream.mode !== 'on-demand' || compressFromBytes < CONTRACT.items.eventBytes * 2) return;
  Annotations.of(scope).addWarningV2(
    'tidegate:compress-from-bytes',
    `the stream is on demand, which bills bytes, but publish.compress_from_bytes is ${compressFromBytes}, so smaller records are not ` +
      'compressed: set publish.compress_from_bytes = 1_024 in tidegate.toml, or -c publish.compress_from_bytes=1024',
  );
}
