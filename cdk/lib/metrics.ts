import { Duration } from 'aws-cdk-lib';
import { Metric } from 'aws-cdk-lib/aws-cloudwatch';

/** The namespace of the functions' own metrics (`shared/src/metric.rs`). They have no dimensions: one stage an account. */
export const NAMESPACE = 'Tidegate';

/** What alarms look at: services and functions give a value a minute, and an alarm sees nothing finer than its period. */
export const MINUTE = { period: Duration.minutes(1) } as const;

/** One of the functions' own metrics. */
export function tidegateMetric(metricName: string, statistic: string, label?: string): Metric {
  return new Metric({ namespace: NAMESPACE, metricName, statistic, label, ...MINUTE });
}
