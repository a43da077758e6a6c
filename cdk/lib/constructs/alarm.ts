import {
  Alarm,
  ComparisonOperator,
  type IMetric,
  MathExpression,
  type Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import { MINUTE } from '../metrics';

/** How many of the last minutes must be bad. */
export interface Minutes {
  readonly bad: number;
  readonly of: number;
}

/** For what goes on while it is wrong: a single bad minute passes by itself. */
const LASTING: Minutes = { bad: 2, of: 3 };

/**
 * For what happens once and is not said again: a record that was given up is given up in one minute, and two bad minutes
 * of three would never come.
 */
export const ONCE: Minutes = { bad: 1, of: 1 };

export interface AlarmRule {
  /** Its runbook is `docs/runbooks/{name}.md`. */
  readonly name: string;
  /** By the minute. Of several, the sum. */
  readonly metric: IMetric | readonly [Metric, Metric];
  readonly above: number;
  /** Two of three, unless said otherwise. */
  readonly minutes?: Minutes;
  /** What is wrong, and what it means to whom. */
  readonly meaning: string;
}

/**
 * The alarm to a rule. What is missing is good: a metric that nothing is counted in has no values. Without metric math, which
 * emulators do not know, it looks at the first of several metrics alone.
 */
export function alarm(scope: Construct, id: string, rule: AlarmRule, metricMath = true): Alarm {
  const { bad, of } = rule.minutes ?? LASTING;
  const metric = 'length' in rule.metric ? (metricMath ? sum(rule.metric) : rule.metric[0].with(MINUTE)) : rule.metric;
  return new Alarm(scope, id, {
    metric,
    threshold: rule.above,
    comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
    evaluationPeriods: of,
    datapointsToAlarm: bad,
    treatMissingData: TreatMissingData.NOT_BREACHING,
    alarmDescription: `${rule.meaning} Runbook: docs/runbooks/${rule.name}.md`,
  });
}

/** Where only one has a value, the other counts as nothing. */
function sum([first, second]: readonly [Metric, Metric]): IMetric {
  return new MathExpression({
    expression: 'FILL(first, 0) + FILL(second, 0)',
    usingMetrics: { first, second },
    ...MINUTE,
  });
}
