import { RemovalPolicy } from 'aws-cdk-lib';
import { type Alarm, Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { AttributeType, BillingMode, ProjectionType, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb';
import { Construct } from 'constructs';
import { CONTRACT } from '../contract';
import { MINUTE } from '../metrics';
import { alarm, sum } from './alarm';

export interface ItemsTableProps {
  readonly protectData: boolean;
  readonly metricMath: boolean;
  /** Whether it has the index by time, which only reads need. */
  readonly reads: boolean;
}

/** Metrics of the table, and of its index if it has one. DynamoDB counts them separately. */
export interface TableMetrics {
  readonly ofTable: Metric;
  readonly ofIndex?: Metric;
}

const { partitionKey, sortKey, expiresAt, index } = CONTRACT.items;

/** One item for each event: the partition key names the tenant, the sort key the event. Deduplication needs it. */
export class ItemsTable extends Construct {
  readonly table: Table;
  readonly alarms: readonly Alarm[];
  /** By time. */
  readonly hasIndex: boolean;

  constructor(scope: Construct, id: string, props: ItemsTableProps) {
    super(scope, id);
    this.hasIndex = props.reads;
    this.table = new Table(this, 'Table', {
      partitionKey: { name: partitionKey, type: AttributeType.STRING },
      sortKey: { name: sortKey, type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      encryption: TableEncryption.AWS_MANAGED,
      timeToLiveAttribute: expiresAt,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: props.protectData,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    // A tenant's events by time. It holds keys only, so each item costs one write unit more.
    if (this.hasIndex) {
      this.table.addGlobalSecondaryIndex({
        indexName: index.name,
        partitionKey: { name: index.partitionKey, type: AttributeType.STRING },
        sortKey: { name: index.sortKey, type: AttributeType.STRING },
        projectionType: ProjectionType.KEYS_ONLY,
      });
    }
    // `WriteThrottleEvents` counts single writes. `ThrottledRequests` counts a batch only if all of its writes were refused.
    const { ofTable, ofIndex } = this.metricThrottledWrites();
    this.alarms = [
      alarm(this, {
        name: 'items-throttled',
        metric: ofIndex ? sum([ofTable, ofIndex], props.metricMath) : ofTable.with(MINUTE),
        above: 0,
        meaning:
          'DynamoDB throttles inserts, in the table or in its index. The consumer retries, and events are stored late.',
      }),
    ];
  }

  metricThrottledWrites(): TableMetrics {
    return this.metrics('WriteThrottleEvents');
  }

  metricWriteUnits(): TableMetrics {
    return this.metrics('ConsumedWriteCapacityUnits');
  }

  private metrics(metricName: string): TableMetrics {
    const { tableName: TableName } = this.table;
    const of = (dimensionsMap: Record<string, string>) =>
      new Metric({ namespace: 'AWS/DynamoDB', metricName, dimensionsMap, statistic: Stats.SUM });
    const ofTable = of({ TableName });
    return this.hasIndex ? { ofTable, ofIndex: of({ TableName, GlobalSecondaryIndexName: index.name }) } : { ofTable };
  }
}
