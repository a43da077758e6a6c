import { type Duration, Validations } from 'aws-cdk-lib';
import { type Alarm, type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { LambdaDeploymentConfig, LambdaDeploymentGroup } from 'aws-cdk-lib/aws-codedeploy';
import { ManagedPolicy, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Alias, type FunctionUrl, FunctionUrlAuthType, InvokeMode } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { IngestConfig } from '../config';
import { MINUTE } from '../metrics';
import { alarm } from './alarm';
import { type ArchiveBucket, PREFIXES } from './archive-bucket';
import type { EventStream } from './event-stream';
import { type Platform, RustFunction } from './rust-function';
import type { SpillQueue } from './spill-queue';

export interface IngestApiProps extends IngestConfig {
  readonly platform: Platform;
  readonly timeout: Duration;
  readonly stream: EventStream;
  readonly archive: ArchiveBucket;
  readonly spill: SpillQueue;
}

/** The door: the ingest function behind a Function URL. */
export class IngestApi extends Construct {
  readonly rust: RustFunction;
  readonly alias: Alias;
  readonly url: FunctionUrl;
  /** A function that fails, and answers of 5xx: what a canary is rolled back on. */
  readonly alarms: readonly Alarm[];

  constructor(scope: Construct, id: string, props: IngestApiProps) {
    super(scope, id);
    this.rust = new RustFunction(this, 'Ingest', {
      ...props.platform,
      binary: 'ingest-fn',
      description: 'Takes events in over HTTP and puts them on the stream.',
      // A request waits for the network nearly all of its time; 512 MB hold the largest body several times over.
      memoryMb: props.memoryMb,
      timeout: props.timeout,
      tracing: props.tracing,
      reservedConcurrency: props.reservedConcurrency,
      logsInvocations: false,
      environment: {
        TIDEGATE_STREAM: props.stream.stream.streamName,
        TIDEGATE_BUCKET: props.archive.bucket.bucketName,
        TIDEGATE_SPILL_QUEUE: props.spill.queue.queueUrl,
      },
    });
    props.stream.grantPut(this.rust.function);
    props.archive.grantPut(this.rust.function, PREFIXES.payloads);
    props.spill.grantSend(this.rust.function);

    // The URL belongs to the alias: a new version is behind it only once it is shifted there.
    this.alias = new Alias(this, 'Live', { aliasName: 'live', version: this.rust.function.currentVersion });
    // With `NONE` this also makes both permissions that a public URL needs: InvokeFunctionUrl, and InvokeFunction
    // limited to calls by way of the URL.
    this.url = this.alias.addFunctionUrl({
      authType: props.auth === 'none' ? FunctionUrlAuthType.NONE : FunctionUrlAuthType.AWS_IAM,
      invokeMode: InvokeMode.BUFFERED,
    });

    this.alarms = [
      alarm(this, 'Errors', {
        name: 'ingest-errors',
        metric: this.alias.metricErrors({ statistic: Stats.SUM, ...MINUTE }),
        above: 0,
        meaning: 'The ingest function fails: requests are answered 502.',
      }),
      alarm(this, 'Unavailable', {
        name: 'door-unavailable',
        metric: this.metricServerErrors().with(MINUTE),
        above: 0,
        meaning:
          'Clients are answered 5xx: neither the stream nor the spill queue takes events, or the function fails.',
      }),
    ];
    if (props.canary) this.shiftGradually();
  }

  /** Answers of 5xx by the URL: the function's own 503 among them. */
  metricServerErrors(): Metric {
    return this.alias.metric('Url5xxCount', { statistic: Stats.SUM });
  }

  metricClientErrors(): Metric {
    return this.alias.metric('Url4xxCount', { statistic: Stats.SUM });
  }

  metricInvocations(): Metric {
    return this.alias.metricInvocations({ statistic: Stats.SUM });
  }

  private shiftGradually(): void {
    const role = new Role(this, 'DeploymentRole', {
      assumedBy: new ServicePrincipal('codedeploy.amazonaws.com'),
      description: 'CodeDeploy, shifting the ingest alias',
      managedPolicies: [ManagedPolicy.fromAwsManagedPolicyName('service-role/AWSCodeDeployRoleForLambdaLimited')],
    });
    new LambdaDeploymentGroup(this, 'Canary', {
      alias: this.alias,
      role,
      // Two bad minutes of three, and the minutes that metrics take to arrive, must fit into the canary's time.
      deploymentConfig: LambdaDeploymentConfig.CANARY_10PERCENT_10MINUTES,
      alarms: [...this.alarms],
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]',
      reason: "AWS's own policy for this one purpose; CodeDeploy's needs change with its releases.",
    });
  }
}
