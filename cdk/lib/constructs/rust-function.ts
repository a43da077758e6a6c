import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { type Policy, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  ApplicationLogLevel,
  Architecture,
  Function as LambdaFunction,
  LoggingFormat,
  Runtime,
  SystemLogLevel,
  Tracing,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Binary, FunctionAssets } from '../assets';
import type { Architecture as ArchitectureName } from '../config';

/** What all functions have in common. */
export interface Platform {
  readonly assets: FunctionAssets;
  readonly architecture: ArchitectureName;
  readonly logRetentionDays: RetentionDays;
}

export interface RustFunctionProps extends Platform {
  readonly binary: Binary;
  readonly description: string;
  readonly memoryMb: number;
  readonly timeout: Duration;
  readonly environment: Record<string, string>;
  readonly tracing: boolean;
  readonly reservedConcurrency?: number;
  /** Whether Lambda logs each invocation. Too dear at the door, where an invocation is a request. */
  readonly logsInvocations: boolean;
}

/** A Lambda binary of the workspace, with a role and a log group of its own. */
export class RustFunction extends Construct {
  readonly function: LambdaFunction;
  readonly logGroup: LogGroup;
  /** Its memory, as it is billed. */
  readonly gigabytes: number;

  constructor(scope: Construct, id: string, props: RustFunctionProps) {
    super(scope, id);
    this.gigabytes = props.memoryMb / 1024;
    this.logGroup = new LogGroup(this, 'Logs', {
      retention: props.logRetentionDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // In place of the role that CDK would make: that one may write any log group of the account.
    const role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      description: `${props.binary} of Tidegate`,
    });
    this.logGroup.grantWrite(role);
    this.function = new LambdaFunction(this, 'Function', {
      runtime: Runtime.PROVIDED_AL2023,
      handler: 'bootstrap',
      code: props.assets(props.binary),
      architecture: props.architecture === 'arm64' ? Architecture.ARM_64 : Architecture.X86_64,
      description: props.description,
      role,
      memorySize: props.memoryMb,
      timeout: props.timeout,
      environment: props.environment,
      reservedConcurrentExecutions: props.reservedConcurrency,
      tracing: props.tracing ? Tracing.ACTIVE : Tracing.DISABLED,
      logGroup: this.logGroup,
      loggingFormat: LoggingFormat.JSON,
      // Metric documents have no level and count as INFO: anything above would drop every metric.
      applicationLogLevelV2: ApplicationLogLevel.INFO,
      systemLogLevelV2: props.logsInvocations ? SystemLogLevel.INFO : SystemLogLevel.WARN,
    });
    acknowledgeTracing(role);
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

/** X-Ray's two actions know no resources. */
function acknowledgeTracing(role: Role): void {
  const policy = role.node.tryFindChild('DefaultPolicy') as Policy | undefined;
  if (policy === undefined) return;
  Validations.of(policy).acknowledge({
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'xray:PutTraceSegments and xray:PutTelemetryRecords cannot be limited to resources.',
  });
}
