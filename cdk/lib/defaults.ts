/** From settings to what a deployment is made from. The defaults of a library's user are those of an empty stage's file. */

import { StreamMode } from 'aws-cdk-lib/aws-kinesis';
import { Architecture, FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import type { Config, TidegateProps } from './config';
import { CONFIGURATION } from './settings';
import { defaultSettings, type StageSettings } from './stage-settings';

export function configOf(settings: StageSettings): Config {
  return {
    configuration: CONFIGURATION,
    keys: {},
    protectData: settings.protectData,
    mayBePublic: settings.public,
    architecture: settings.architecture === 'arm64' ? Architecture.ARM_64 : Architecture.X86_64,
    stream:
      settings.stream === 'on-demand'
        ? { mode: StreamMode.ON_DEMAND, producerAccounts: settings.producerAccounts }
        : { mode: StreamMode.PROVISIONED, shards: settings.stream, producerAccounts: settings.producerAccounts },
    records: { retentionHours: settings.retentionHours, ageHours: settings.recordAgeHours },
    ingest: {
      memoryMb: settings.ingestMemoryMb,
      reservedConcurrency: settings.reservedConcurrency,
      auth: settings.auth === 'iam' ? FunctionUrlAuthType.AWS_IAM : FunctionUrlAuthType.NONE,
      canary: settings.canary,
      tracing: settings.tracing,
    },
    reads: settings.reads,
    consumer: { memoryMb: settings.consumerMemoryMb, tracing: settings.tracing },
    items: {
      provisioned: settings.itemsCapacity && { ...settings.itemsCapacity, targetUtilization: settings.itemsUsePercent },
      warmWriteUnits: settings.itemsWarmUnits,
    },
    dispatch: { secretArn: settings.dispatchSecret, url: settings.dispatchUrl, tracing: settings.tracing },
    archive: {
      versioned: settings.archiveVersioned,
      infrequentAccessAfterDays: settings.archiveInfrequentDays,
      expireAfterDays: settings.archiveExpireDays,
      failuresDays: settings.failuresDays,
      objectNotifications: settings.objectNotifications,
    },
    logs: { retention: settings.logDays },
    network:
      settings.vpc === undefined
        ? undefined
        : { vpcId: settings.vpc, subnetIds: settings.subnets, routeTableIds: settings.routeTables },
    alarmEmail: settings.alarmEmail,
  };
}

/** What is given, and the defaults of the rest. */
export function withDefaults(props: Omit<TidegateProps, 'assets' | 'name'>): Config {
  const byDefault = configOf(defaultSettings());
  return {
    ...byDefault,
    ...given(props),
    stream: { ...byDefault.stream, ...given(props.stream) },
    records: { ...byDefault.records, ...given(props.records) },
    ingest: { ...byDefault.ingest, ...given(props.ingest) },
    consumer: { ...byDefault.consumer, ...given(props.consumer) },
    items: { ...byDefault.items, ...given(props.items) },
    dispatch: { ...byDefault.dispatch, ...given(props.dispatch) },
    archive: { ...byDefault.archive, ...given(props.archive) },
    logs: { ...byDefault.logs, ...given(props.logs) },
  };
}

/** A member that is `undefined` is not given. */
function given<T extends object>(props: T | undefined): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(props ?? {}).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
