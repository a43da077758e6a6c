import { Duration } from 'aws-cdk-lib';
import { Metric } from 'aws-cdk-lib/aws-cloudwatch';
import { CONTRACT } from './contract';

/** Services and functions publish one value a minute, and an alarm sees nothing finer than its period. */
export const MINUTE = { period: Duration.minutes(1) } as const;

const { namespace, all } = CONTRACT.metrics;

/** The metrics that count S3 writes, one for each kind of object. */
export const S3_WRITES = all.map(({ name }) => name).filter((name) => name.endsWith('Written'));

/** How many of the functions' own metrics have values. */
export function metricCount(dispatches: boolean): number {
  return all.filter(({ ofDispatch }) => dispatches || !ofDispatch).length;
}

/** One of the functions' own metrics. They have no dimensions: one stage an account. */
export function tidegateMetric(metricName: string, statistic: string, label?: string): Metric {
  if (!all.some(({ name }) => name === metricName)) {
    throw new Error(
      `no function emits the metric \`${metricName}\` (known: ${all.map(({ name }) => name).join(', ')})`,
    );
  }
  return new Metric({ namespace, metricName, statistic, label, ...MINUTE });
}
