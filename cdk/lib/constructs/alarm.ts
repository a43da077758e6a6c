import {
  Alarm,
  ComparisonOperator,
  type IMetric,
  MathExpression,
  type Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import { CONTRACT } from '../contract';
import { MINUTE } from '../metrics';

/** How many of the last minutes must be bad. Of a metric with a longer period: how many periods. */
export interface Minutes {
  readonly bad: number;
  readonly of: number;
}

/** For a condition that lasts: one bad minute is ignored. */
const LASTING: Minutes = { bad: 2, of: 3 };

/** For an event that happens once and is not reported again: a second bad minute would never come. */
export const ONCE: Minutes = { bad: 1, of: 1 };

/** For a queue that makes no progress. */
export const STUCK: Minutes = { bad: CONTRACT.alarms.stuckMinutes, of: CONTRACT.alarms.stuckMinutes };

export interface AlarmProps {
  /** Its runbook is `docs/runbooks/{name}.md`. */
  readonly name: string;
  /** By the minute. By more only where something may be rarer than once a minute. */
  readonly metric: IMetric;
  readonly above: number;
  /** Two of three by default. */
  readonly minutes?: Minutes;
  /** One or two sentences for the operator. */
  readonly meaning: string;
}

/** Missing data is good: a metric has no value in a minute in which nothing was counted. */
export function alarm(scope: Construct, { name, metric, above, minutes = LASTING, meaning }: AlarmProps): Alarm {
  return new Alarm(scope, pascalCase(name), {
    metric,
    threshold: above,
    comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
    evaluationPeriods: minutes.of,
    datapointsToAlarm: minutes.bad,
    treatMissingData: TreatMissingData.NOT_BREACHING,
    alarmDescription: `${meaning} Runbook: docs/runbooks/${name}.md`,
  });
}

/** The sum of two metrics. One without a value counts as 0. */
export function sum([first, second]: readonly [Metric, Metric]): IMetric {
  return new MathExpression({
    expression: 'FILL(first, 0) + FILL(second, 0)',
    usingMetrics: { first, second },
    ...MINUTE,
  });
}

function pascalCase(name: string): string {
  return name.replace(/(^|-)([a-z])/g, (_, _dash: string, letter: string) => letter.toUpperCase());
}
