import { Validations } from 'aws-cdk-lib';
import { type Alarm, type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { LambdaDeploymentConfig, LambdaDeploymentGroup } from 'aws-cdk-lib/aws-codedeploy';
import { ManagedPolicy, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Alias, type FunctionUrl, InvokeMode } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { Config } from '../config';
import { CONTRACT } from '../contract';
import { MINUTE } from '../metrics';
import type { Settings } from '../settings';
import { alarm } from './alarm';
import type { ArchiveBucket } from './archive-bucket';
import type { Credentials } from './credentials';
import type { EventStream } from './event-stream';
import type { ItemsTable } from './items-table';
import type { LedgerTable } from './ledger-table';
import type { Network } from './network';
import { type Platform, RustFunction } from './rust-function';
import type { SpillQueue } from './spill-queue';

type IngestConfig = Config['ingest'];

export interface IngestApiProps extends IngestConfig {
  readonly platform: Platform;
  /** That its function runs in. */
  readonly network?: Network;
  readonly settings: Settings;
  readonly stream: EventStream;
  readonly archive: ArchiveBucket;
  readonly spill: SpillQueue;
  /** What it reads events back from, where it does. */
  readonly reads?: { readonly items: ItemsTable; readonly ledger: LedgerTable };
  /** Only where the configuration asks for credentials. */
  readonly credentials?: Credentials;
}

/** The ingest function and its public URL. */
export class IngestApi extends Construct {
  readonly rust: RustFunction;
  readonly alias: Alias;
  readonly url: FunctionUrl;
  readonly alarms: readonly Alarm[];

  constructor(scope: Construct, id: string, props: IngestApiProps) {
    super(scope, id);
    this.rust = new RustFunction(this, 'Ingest', {
      ...props.platform,
      name: 'ingest',
      description: 'Accepts events over HTTP and puts them on the stream.',
      memoryMb: props.memoryMb,
      timeout: props.settings.ingestTimeout,
      tracing: props.tracing,
      network: props.network,
      reservedConcurrency: props.reservedConcurrency,
      logsInvocations: false,
      resources: {
        stream: props.stream.stream,
        bucket: props.archive.bucket,
        spillQueue: props.spill.queue,
        items: props.reads?.items.table,
        ledger: props.reads?.ledger.table,
        credentials: props.credentials?.secret,
      },
      more: [
        ...(props.credentials === undefined ? [] : [CONTRACT.credentials]),
        ...(props.reads === undefined ? [] : [CONTRACT.reads]),
      ],
    });

    // The URL belongs to the alias: a new version gets requests only when traffic is shifted to it.
    this.alias = new Alias(this, 'Live', { aliasName: 'live', version: this.rust.function.currentVersion });
    // With `NONE` this also adds the two permissions that a public URL needs: InvokeFunctionUrl, and InvokeFunction for
    // calls through the URL only.
    this.url = this.alias.addFunctionUrl({
      authType: props.auth,
      invokeMode: InvokeMode.BUFFERED,
    });

    const rollBack = [
      alarm(this, {
        name: 'ingest-unavailable',
        metric: this.metricServerErrors().with(MINUTE),
        above: 0,
        meaning: 'Clients get 5xx: the stream and the spill queue both refuse events, or the function fails.',
      }),
      alarm(this, {
        name: 'ingest-errors',
        metric: this.alias.metricErrors({ statistic: Stats.SUM, ...MINUTE }),
        above: 0,
        meaning: 'The ingest function crashes or times out: clients get 502.',
      }),
    ];
    this.alarms = [
      ...rollBack,
      alarm(this, {
        name: 'ingest-throttled',
        metric: this.rust.metricThrottles().with(MINUTE),
        above: 0,
        meaning: 'Clients get 429: ingest is at its concurrency limit.',
      }),
      alarm(this, {
        name: 'publish-latency',
        metric: props.platform.metrics.metric('PublishLatency', Stats.percentile(99)),
        above: props.settings.slowPut.toMilliseconds(),
        meaning:
          'Puts to the stream take nearly as long as they may, or are cut off. Their events are sent again or spilled.',
      }),
      alarm(this, {
        name: 'spilling',
        metric: props.platform.metrics.metric('EventsSpilled', Stats.SUM),
        above: 0,
        meaning: 'The stream does not take events in time. They go to the spill queue and reach the archive late.',
      }),
    ];
    if (props.canary) this.shiftGradually(rollBack);
  }

  /** 5xx responses of the URL, the function's own 503 included. */
  metricServerErrors(): Metric {
    return this.alias.metric('Url5xxCount', { statistic: Stats.SUM });
  }

  metricClientErrors(): Metric {
    return this.alias.metric('Url4xxCount', { statistic: Stats.SUM });
  }

  metricInvocations(): Metric {
    return this.alias.metricInvocations({ statistic: Stats.SUM });
  }

  private shiftGradually(alarms: Alarm[]): void {
    const role = new Role(this, 'DeploymentRole', {
      assumedBy: new ServicePrincipal('codedeploy.amazonaws.com'),
      description: 'CodeDeploy, shifting the ingest alias',
      managedPolicies: [ManagedPolicy.fromAwsManagedPolicyName('service-role/AWSCodeDeployRoleForLambdaLimited')],
    });
    new LambdaDeploymentGroup(this, 'Canary', {
      alias: this.alias,
      role,
      // Long enough for two bad minutes of three and for the minutes until metrics arrive.
      deploymentConfig: LambdaDeploymentConfig.CANARY_10PERCENT_10MINUTES,
      alarms,
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]',
      reason: "AWS's own policy for exactly this purpose. CodeDeploy's needs change with its releases.",
    });
  }
}
