import { Duration } from 'aws-cdk-lib';
import { Metric } from 'aws-cdk-lib/aws-cloudwatch';
import { CONTRACT } from './contract';

/** Services and functions publish one value a minute, and an alarm sees nothing finer than its period. */
export const MINUTE = { period: Duration.minutes(1) } as const;

const { namespace, dimension, all } = CONTRACT.metrics;

/** The metrics that count S3 writes, one for each kind of object. */
export const S3_WRITES = all.map(({ name }) => name).filter((name) => name.endsWith('Written'));

/** How many of the functions' own metrics have values. */
export function metricCount(dispatches: boolean): number {
  return all.filter(({ ofDispatch }) => dispatches || !ofDispatch).length;
}

/** The functions' own metrics of one stage. Other stages of the account have the same ones with another dimension. */
export class StageMetrics {
  constructor(private readonly stage: string) {}

  metric(metricName: string, statistic: string, label?: string): Metric {
    if (!all.some(({ name }) => name === metricName)) {
      throw new Error(
        `no function emits the metric \`${metricName}\` (known: ${all.map(({ name }) => name).join(', ')})`,
      );
    }
    return new Metric({
      namespace,
      metricName,
      dimensionsMap: { [dimension]: this.stage },
      statistic,
      label,
      ...MINUTE,
    });
  }

  /** The functions' variable with the value of the dimension. */
  get variables(): Record<string, string> {
    return { [CONTRACT.metrics.stageVariable]: this.stage };
  }
}
