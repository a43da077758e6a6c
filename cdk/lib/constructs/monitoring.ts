import { Duration, Stack } from 'aws-cdk-lib';
import { type Alarm, Dashboard, PeriodOverride } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import type { DashboardSources } from './monitoring/sources';
import { widgets } from './monitoring/widgets';

export interface MonitoringProps extends DashboardSources {
  /** Of the deployment. */
  readonly name: string;
  readonly alarmEmail?: string;
}

/** The dashboard, and the topic that alarms notify when they fire and when they clear. Each construct makes its own alarms. */
export class Monitoring extends Construct {
  readonly topic: Topic;
  readonly dashboard: Dashboard;
  readonly alarms: Alarm[];

  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id);
    this.topic = new Topic(this, 'Alarms', { displayName: `Tidegate ${props.name}`, enforceSSL: true });
    this.letAlarmsPublish();
    if (props.alarmEmail !== undefined) this.topic.addSubscription(new EmailSubscription(props.alarmEmail));

    const { credentials, ingest, stream, spill, consumer, items, dispatch } = props;
    const notify = new SnsAction(this.topic);
    const constructs = [credentials, ingest, stream, spill, consumer, items, dispatch];
    this.alarms = constructs.flatMap((construct) => construct?.alarms ?? []);
    for (const alarm of this.alarms) {
      alarm.addAlarmAction(notify);
      alarm.addOkAction(notify);
    }

    this.dashboard = new Dashboard(this, 'Dashboard', {
      // Dashboards are global in an account: a stage in two regions has two.
      dashboardName: `Tidegate-${props.name}-${Stack.of(this).region}`,
      defaultInterval: Duration.hours(3),
      periodOverride: PeriodOverride.INHERIT,
      widgets: widgets(props),
    });
  }

  /**
   * `enforceSSL` gives the topic a policy. It replaces SNS's default policy, which let the account's alarms publish. Without
   * this statement every notification is refused, and only the alarm's history shows it
   * (https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger).
   */
  private letAlarmsPublish(): void {
    this.topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'AlarmsOfThisAccount',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [this.topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      }),
    );
  }
}
