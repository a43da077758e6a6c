import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { type Policy, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import {
  ApplicationLogLevel,
  type Architecture,
  type CfnFunction,
  Function as LambdaFunction,
  LoggingFormat,
  Runtime,
  SystemLogLevel,
  Tracing,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { FunctionAssets } from '../assets';
import { CONTRACT, type Extension, type FunctionName } from '../contract';
import type { StageMetrics } from '../metrics';
import { INTERFACES, type Network } from './network';
import { type Resources, environment, grant, usesKey } from './resources';

/** The same for all functions. */
export interface Platform {
  readonly assets: FunctionAssets;
  /** The file that is packed with them. */
  readonly configuration: string;
  readonly architecture: Architecture;
  readonly logRetention: RetentionDays;
  /** Variables that override keys of the configuration. They must be the same for all functions. */
  readonly overrides: Readonly<Record<string, string>>;
  readonly metrics: StageMetrics;
  /** Encrypts what is made here. Without it keys of AWS do. */
  readonly key?: IKey;
  /** All keys that encrypt what they read and write. */
  readonly keys: readonly IKey[];
}

export interface RustFunctionProps extends Platform {
  readonly name: FunctionName;
  readonly description: string;
  readonly memoryMb: number;
  readonly timeout: Duration;
  readonly resources: Resources;
  /** Variables and permissions that it has under a condition. */
  readonly more?: readonly Extension[];
  readonly tracing: boolean;
  /** That it runs in. Without it, it reaches the internet. */
  readonly network?: Network;
  readonly reservedConcurrency?: number;
  /** Whether Lambda logs each invocation. For ingest an invocation is a request: a line would cost more than the request. */
  readonly logsInvocations: boolean;
}

/** A Lambda binary of the workspace with its own role and log group. Variables and permissions come from the contract. */
export class RustFunction extends Construct {
  readonly function: LambdaFunction;
  readonly role: Role;
  readonly logGroup: LogGroup;
  /** Its memory, as it is billed. */
  readonly gigabytes: number;

  constructor(scope: Construct, id: string, props: RustFunctionProps) {
    super(scope, id);
    const { binary } = CONTRACT.functions[props.name];
    this.gigabytes = props.memoryMb / 1024;
    this.logGroup = new LogGroup(this, 'Logs', {
      retention: props.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // The role that CDK would create may write to every log group of the account.
    this.role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      description: `${binary} of Tidegate`,
    });
    this.logGroup.grantWrite(this.role);
    const more = props.more ?? [];
    grant(props.name, this.role, props.resources, more);
    if (props.network !== undefined) this.role.addToPolicy(INTERFACES);
    for (const key of props.keys) this.role.addToPolicy(usesKey(key));
    this.function = new LambdaFunction(this, 'Function', {
      runtime: Runtime.PROVIDED_AL2023,
      handler: 'bootstrap',
      code: props.assets.code(binary, props.configuration),
      architecture: props.architecture,
      description: props.description,
      role: this.role,
      memorySize: props.memoryMb,
      timeout: props.timeout,
      environment: {
        ...environment(props.name, props.resources, more),
        ...props.overrides,
        ...props.metrics.variables,
      },
      ...(props.network && {
        vpc: props.network.vpc,
        vpcSubnets: { subnets: props.network.vpc.privateSubnets },
        securityGroups: [props.network.group],
      }),
      reservedConcurrentExecutions: props.reservedConcurrency,
      tracing: props.tracing ? Tracing.ACTIVE : Tracing.DISABLED,
      logGroup: this.logGroup,
      loggingFormat: LoggingFormat.JSON,
      // Metric documents have no level and count as INFO: a higher level would drop every metric.
      applicationLogLevelV2: ApplicationLogLevel.INFO,
      systemLogLevelV2: props.logsInvocations ? SystemLogLevel.INFO : SystemLogLevel.WARN,
    });
    acknowledgeTracing(this.role);
  }

  /** In a deployment, `other` has its new code before this function gets it. */
  isUpdatedAfter(other: RustFunction): void {
    const resource = (rust: RustFunction) => rust.function.node.defaultChild as CfnFunction;
    resource(this).addResourceDependency(resource(other));
  }

  metricErrors(): Metric {
    return this.function.metricErrors({ statistic: Stats.SUM });
  }

  metricThrottles(): Metric {
    return this.function.metricThrottles({ statistic: Stats.SUM });
  }

  metricDuration(statistic: string): Metric {
    return this.function.metricDuration({ statistic });
  }

  metricConcurrency(): Metric {
    return this.function.metric('ConcurrentExecutions', { statistic: Stats.MAXIMUM, period: Duration.minutes(1) });
  }
}

function acknowledgeTracing(role: Role): void {
  const policy = role.node.tryFindChild('DefaultPolicy') as Policy | undefined;
  if (policy === undefined) return;
  Validations.of(policy).acknowledge({
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'What X-Ray needs, and the network interfaces of a function in a VPC, cannot be limited to resources.',
  });
}
