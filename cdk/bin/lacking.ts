import { Stack } from 'aws-cdk-lib';
import { CfnNamedQuery } from 'aws-cdk-lib/aws-athena';
import { CfnAlarm } from 'aws-cdk-lib/aws-cloudwatch';
import { CfnSecurityGroupIngress } from 'aws-cdk-lib/aws-ec2';
import type { IConstruct } from 'constructs';

/**
 * Takes away what emulators of AWS lack: saved Athena queries, rules of a security group that are a resource of their own, and alarms on
 * more than one metric. Such an alarm evaluates its first metric alone. What an emulator lacks is no concern of the constructs, so this
 * changes the finished resources.
 */
export function removeWhatEmulatorsLack(scope: IConstruct): void {
  for (const construct of scope.node.findAll()) {
    if (CfnNamedQuery.isCfnNamedQuery(construct) || CfnSecurityGroupIngress.isCfnSecurityGroupIngress(construct)) {
      construct.node.scope?.node.tryRemoveChild(construct.node.id);
    }
    if (CfnAlarm.isCfnAlarm(construct)) evaluateFirst(construct);
  }
}

function evaluateFirst(alarm: CfnAlarm): void {
  const metrics = Stack.of(alarm).resolve(alarm.metrics) as readonly CfnAlarm.MetricDataQueryProperty[] | undefined;
  const first = metrics?.find(({ metricStat }) => metricStat !== undefined)?.metricStat;
  if (first === undefined) return;
  const { metric, period, stat } = first as CfnAlarm.MetricStatProperty;
  const { namespace, metricName, dimensions } = metric as CfnAlarm.MetricProperty;
  alarm.metrics = undefined;
  Object.assign(alarm, { namespace, metricName, dimensions, period, statistic: stat });
}
