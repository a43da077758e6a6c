import { RemovalPolicy } from 'aws-cdk-lib';
import { type Alarm, Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import {
  AttributeType,
  BillingMode,
  type EnableScalingProps,
  type IScalableTableAttribute,
  type ITable,
  ProjectionType,
  Table,
} from 'aws-cdk-lib/aws-dynamodb';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import type { ItemsConfig, ProvisionedCapacity } from '../config';
import { CONTRACT } from '../contract';
import { MINUTE } from '../metrics';
import { PROVISIONED_USE_PERCENT } from '../stage-settings';
import { alarm, sum } from './alarm';
import { tableEncryption } from './resources';

export interface ItemsTableProps extends ItemsConfig {
  readonly protectData: boolean;
  /** Encrypts the items. Without it a key of AWS does. */
  readonly key?: IKey;
  /** Whether it has the index by time, which only reads need. */
  readonly reads: boolean;
  /** Used instead of an own one, and not changed. */
  readonly existing?: ITable;
}

/** Metrics of the table, and of its index if it has one. DynamoDB counts them separately. */
export interface TableMetrics {
  readonly ofTable: Metric;
  readonly ofIndex?: Metric;
}

const { partitionKey, sortKey, expiresAt, index } = CONTRACT.items;

/** Of a provisioned table. It is read where events are read back, by an audit, and for items that exist already. */
export const LEAST_READ_UNITS = 10;
const READS: EnableScalingProps = { minCapacity: LEAST_READ_UNITS, maxCapacity: 4_000 };

/** What auto scaling makes for a table, and for an index: four for reads, four for writes. */
export const SCALING_ALARMS = 8;

/** One item for each event: the partition key names the tenant, the sort key the event. Deduplication needs it. */
export class ItemsTable extends Construct {
  readonly table: ITable;
  readonly alarms: readonly Alarm[];
  /** By time. */
  readonly hasIndex: boolean;
  readonly isProvisioned: boolean;

  constructor(scope: Construct, id: string, props: ItemsTableProps) {
    super(scope, id);
    this.hasIndex = props.reads;
    this.isProvisioned = props.provisioned !== undefined;
    this.table = props.existing ?? this.make(props);
    // `WriteThrottleEvents` counts single writes. `ThrottledRequests` counts a batch only if all of its writes were refused.
    const { ofTable, ofIndex } = this.metricThrottledWrites();
    // A provisioned table may throttle while the stream absorbs it. Then only late events are a problem: `freshness`.
    this.alarms = this.isProvisioned
      ? []
      : [
          alarm(this, {
            name: 'items-throttled',
            metric: ofIndex ? sum([ofTable, ofIndex]) : ofTable.with(MINUTE),
            above: 0,
            meaning:
              'DynamoDB throttles inserts, in the table or in its index. The consumer retries, and events are stored late.',
          }),
        ];
  }

  private make(props: ItemsTableProps): Table {
    const table = new Table(this, 'Table', {
      partitionKey: { name: partitionKey, type: AttributeType.STRING },
      sortKey: { name: sortKey, type: AttributeType.STRING },
      billingMode: props.provisioned === undefined ? BillingMode.PAY_PER_REQUEST : BillingMode.PROVISIONED,
      ...capacity(props),
      ...tableEncryption(props.key),
      timeToLiveAttribute: expiresAt,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: props.protectData,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    // A tenant's events by time. It holds keys only, so each item costs one write unit more.
    if (this.hasIndex) {
      table.addGlobalSecondaryIndex({
        indexName: index.name,
        partitionKey: { name: index.partitionKey, type: AttributeType.STRING },
        sortKey: { name: index.sortKey, type: AttributeType.STRING },
        projectionType: ProjectionType.KEYS_ONLY,
        ...capacity(props),
      });
    }
    if (props.provisioned !== undefined) this.scale(table, props.provisioned);
    return table;
  }

  /** The index has a capacity of its own, and scales like the table. */
  private scale(table: Table, given: ProvisionedCapacity): void {
    const { minWriteUnits, maxWriteUnits, targetUtilization = PROVISIONED_USE_PERCENT } = given;
    // A number that DynamoDB refuses would fail only when it is deployed, after the table is made.
    if (!(targetUtilization >= 20 && targetUtilization <= 90)) {
      throw new Error(`targetUtilization ${targetUtilization} is not allowed (allowed: 20 to 90)`);
    }
    const byUse = (attribute: IScalableTableAttribute) => {
      attribute.scaleOnUtilization({ targetUtilizationPercent: targetUtilization });
    };
    const writes: EnableScalingProps = { minCapacity: minWriteUnits, maxCapacity: maxWriteUnits };
    byUse(table.autoScaleWriteCapacity(writes));
    byUse(table.autoScaleReadCapacity(READS));
    if (!this.hasIndex) return;
    byUse(table.autoScaleGlobalSecondaryIndexWriteCapacity(index.name, writes));
    byUse(table.autoScaleGlobalSecondaryIndexReadCapacity(index.name, READS));
  }

  metricThrottledWrites(): TableMetrics {
    return this.metrics('WriteThrottleEvents');
  }

  metricWriteUnits(): TableMetrics {
    return this.metrics('ConsumedWriteCapacityUnits');
  }

  /** Write units a second, where they are provisioned. */
  metricProvisioned(): TableMetrics {
    return this.metrics('ProvisionedWriteCapacityUnits', Stats.AVERAGE);
  }

  /** Read units a second, where they are provisioned. */
  metricProvisionedReads(): TableMetrics {
    return this.metrics('ProvisionedReadCapacityUnits', Stats.AVERAGE);
  }

  /** The alarms of auto scaling, which are charged like ours. */
  get scalingAlarms(): number {
    return this.isProvisioned ? SCALING_ALARMS * (this.hasIndex ? 2 : 1) : 0;
  }

  private metrics(metricName: string, statistic = Stats.SUM): TableMetrics {
    const { tableName: TableName } = this.table;
    const of = (dimensionsMap: Record<string, string>) =>
      new Metric({ namespace: 'AWS/DynamoDB', metricName, dimensionsMap, statistic });
    const ofTable = of({ TableName });
    return this.hasIndex ? { ofTable, ofIndex: of({ TableName, GlobalSecondaryIndexName: index.name }) } : { ofTable };
  }
}

/** The least is where it begins: from then on auto scaling decides, and a deployment does not set it back. */
function capacity({ provisioned, warmWriteUnits }: ItemsConfig) {
  if (provisioned !== undefined) return { readCapacity: LEAST_READ_UNITS, writeCapacity: provisioned.minWriteUnits };
  return warmWriteUnits === undefined ? {} : { warmThroughput: { writeUnitsPerSecond: warmWriteUnits } };
}
