/** From what is given for a stage to what the stack is made from. */

import type { CapacityConfig, StageConfig } from './config';
import { configurationFile } from './settings';
import { type Given, stageGiven } from './stage-file';
import type { StageSettings } from './stage-settings';

/** The stage of `-c stage=`, `dev` by default. `unknown` gets a warning for each name that nothing reads. */
export function stageConfig(context: Given = {}, unknown: (warning: string) => void = () => {}): StageConfig {
  const { stage, settings, keys, recipe, configuration, unknown: warnings } = stageGiven(context);
  warnings.forEach(unknown);
  return {
    stage,
    account: settings.account,
    region: settings.region,
    protectData: settings.protectData,
    mayBePublic: settings.public,
    architecture: settings.architecture,
    stream: settings.stream,
    records: { retentionHours: settings.retentionHours, ageHours: settings.recordAgeHours },
    ingest: {
      memoryMb: settings.ingestMemoryMb,
      reservedConcurrency: settings.reservedConcurrency,
      auth: settings.auth,
      canary: settings.canary,
      tracing: settings.tracing,
    },
    reads: settings.reads,
    consumer: { memoryMb: settings.consumerMemoryMb, tracing: settings.tracing },
    items: { capacity: capacity(settings) },
    dispatch: { tracing: settings.tracing },
    archive: {
      versioned: settings.archiveVersioned,
      infrequentAccessAfterDays: settings.archiveInfrequentDays,
      expireAfterDays: settings.archiveExpireDays,
      failuresDays: settings.failuresDays,
    },
    logs: { retentionDays: settings.logDays },
    namedQueries: settings.namedQueries,
    metricMath: settings.metricMath,
    keyArn: settings.keyArn,
    network:
      settings.vpc === undefined
        ? undefined
        : { vpcId: settings.vpc, subnetIds: settings.subnets, routeTableIds: settings.routeTables },
    keys,
    configuration: configurationFile(recipe, configuration),
    dispatchUrl: settings.dispatchUrl,
    dispatchSecret: settings.dispatchSecret,
    alarmEmail: settings.alarmEmail,
    tags: { application: 'tidegate', stage, 'cost-center': settings.costCenter ?? 'tidegate' },
  };
}

function capacity({ itemsCapacity, itemsUsePercent, itemsWarmUnits }: StageSettings): CapacityConfig {
  return itemsCapacity === undefined
    ? { mode: 'on-demand', warmWriteUnits: itemsWarmUnits }
    : { mode: 'provisioned', ...itemsCapacity, targetUtilization: itemsUsePercent };
}
