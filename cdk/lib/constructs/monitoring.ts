import { Duration, Stack } from 'aws-cdk-lib';
import { type Alarm, Dashboard, PeriodOverride } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import type { StreamConfig } from '../config';
import type { Settings } from '../settings';
import { alarm } from './alarm';
import type { Consumer } from './consumer';
import type { EventStream } from './event-stream';
import type { IngestApi } from './ingest-api';
import type { ItemsTable } from './items-table';
import type { LedgerTable } from './ledger-table';
import { rules } from './monitoring/rules';
import { widgets } from './monitoring/widgets';
import type { SpillQueue } from './spill-queue';

export interface MonitoringProps {
  readonly stage: string;
  readonly settings: Settings;
  readonly streamConfig: StreamConfig;
  readonly ingest: IngestApi;
  readonly stream: EventStream;
  readonly consumer: Consumer;
  readonly items: ItemsTable;
  readonly ledger: LedgerTable;
  readonly spill: SpillQueue;
  readonly alarmEmail?: string;
  readonly metricMath: boolean;
}

/** What an operator looks at, and what wakes one up. */
export class Monitoring extends Construct {
  readonly topic: Topic;
  readonly dashboard: Dashboard;
  readonly alarms: Alarm[];

  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id);
    this.topic = new Topic(this, 'Alarms', { displayName: `Tidegate ${props.stage}`, enforceSSL: true });
    this.letAlarmsPublish();
    if (props.alarmEmail !== undefined) this.topic.addSubscription(new EmailSubscription(props.alarmEmail));

    const ours = rules(props).map((rule) => alarm(this, rule.name, rule, props.metricMath));
    this.alarms = [...ours, ...props.ingest.alarms];
    const notify = new SnsAction(this.topic);
    for (const each of this.alarms) each.addAlarmAction(notify);

    this.dashboard = new Dashboard(this, 'Dashboard', {
      dashboardName: Stack.of(this).stackName,
      defaultInterval: Duration.hours(3),
      periodOverride: PeriodOverride.INHERIT,
      widgets: widgets(props),
    });
  }

  /**
   * `enforceSSL` gives the topic a policy, which takes the place of the one that SNS gives every topic; that one let the
   * account's alarms publish. Without this statement every notification is refused, and only the alarm's history tells
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
