import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RemovalPolicy } from 'aws-cdk-lib';
import { CfnNamedQuery, CfnWorkGroup } from 'aws-cdk-lib/aws-athena';
import {
  type CfnTable,
  type Column,
  Database,
  DataFormat,
  DateIntervalUnit,
  InputFormat,
  OutputFormat,
  PartitionProjectionConfiguration,
  S3Table,
  S3TableStorage,
  Schema,
  SerializationLibrary,
} from 'aws-cdk-lib/aws-glue';
import { Construct } from 'constructs';
import { CONTRACT, type TableContract } from '../contract';
import { type ArchiveBucket, QUERY_RESULTS } from './archive-bucket';

/** A query that scans more is cancelled: a mistake costs half a dollar, not fifty. */
const BYTES_SCANNED_CUTOFF = 100_000_000_000;
/** The first day that can be queried. */
const FIRST_DAY = '2026-01-01';

/** The columns of a table: the members of the lines under its prefix. */
export function columns({ columns }: TableContract): Column[] {
  return columns.map(({ name, type, comment }) => ({
    name,
    type: type === 'int' ? Schema.INTEGER : Schema.STRING,
    comment: comment === '' ? undefined : comment,
  }));
}

/** The workgroup's queries. They run unchanged in Athena and, in the tests, in DuckDB. */
export const QUERIES = ['one-tenants-hour', 'counts-by-tier', 'quarantine-reasons'] as const;

export function query(name: (typeof QUERIES)[number]): string {
  return readFileSync(join(__dirname, '..', '..', 'sql', `${name}.sql`), 'utf8');
}

/** Athena takes no dash. A deployment's name has no underscore, so two deployments have two names. */
export function databaseName(name: string): string {
  return `tidegate_${name.replaceAll('-', '_')}`;
}

export interface ArchiveSqlProps {
  readonly archive: ArchiveBucket;
  /** Of the deployment. */
  readonly name: string;
}

/** SQL over the archive: tables with computed partitions, never added by hand; a workgroup; queries. */
export class ArchiveSql extends Construct {
  readonly database: Database;
  readonly workGroup: CfnWorkGroup;

  constructor(scope: Construct, id: string, props: ArchiveSqlProps) {
    super(scope, id);
    const { bucket } = props.archive;
    this.database = new Database(this, 'Database', { databaseName: databaseName(props.name) });
    // It only describes objects. If it stayed, the next deployment of this name could not create its own.
    this.database.applyRemovalPolicy(RemovalPolicy.DESTROY);

    const day = PartitionProjectionConfiguration.date({
      min: FIRST_DAY,
      max: 'NOW',
      format: 'yyyy-MM-dd',
      step: { interval: 1, intervalUnit: DateIntervalUnit.DAYS },
    });
    const hour = PartitionProjectionConfiguration.enum({
      values: Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, '0')),
    });
    this.table('events', { dt: day, hr: hour }, props);
    this.table('errors', { dt: day }, props);

    this.workGroup = new CfnWorkGroup(this, 'WorkGroup', {
      name: `Tidegate-${props.name}-archive`,
      description: 'Queries over the archive of Tidegate.',
      recursiveDeleteOption: true,
      workGroupConfiguration: {
        enforceWorkGroupConfiguration: true,
        publishCloudWatchMetricsEnabled: true,
        bytesScannedCutoffPerQuery: BYTES_SCANNED_CUTOFF,
        resultConfiguration: {
          outputLocation: bucket.s3UrlForObject(QUERY_RESULTS),
          encryptionConfiguration: { encryptionOption: 'SSE_S3' },
        },
      },
    });
    for (const name of QUERIES) {
      const sql = query(name);
      const named = new CfnNamedQuery(this, name, {
        name,
        database: this.database.databaseName,
        workGroup: this.workGroup.name,
        description: /^-- (.*)$/m.exec(sql)?.[1],
        queryString: sql,
      });
      named.addResourceDependency(this.workGroup);
    }
  }

  private table(
    name: 'events' | 'errors',
    projection: Record<string, PartitionProjectionConfiguration>,
    props: ArchiveSqlProps,
  ): S3Table {
    const table = CONTRACT.tables[name];
    const s3Table = new S3Table(this, name, {
      database: this.database,
      tableName: name,
      description: `${table.prefix} of the archive bucket`,
      storage: S3TableStorage.fromBucket(props.archive.bucket),
      s3Prefix: table.prefix,
      columns: columns(table),
      partitionKeys: Object.keys(projection).map((key) => ({ name: key, type: Schema.STRING })),
      partitionProjection: projection,
      // This reader returns a JSON object in a text column as JSON text. Hive's own reader refuses it.
      dataFormat: new DataFormat({
        inputFormat: InputFormat.TEXT,
        outputFormat: OutputFormat.HIVE_IGNORE_KEY_TEXT,
        serializationLibrary: SerializationLibrary.OPENX_JSON,
      }),
    });
    // A client's `URL` and `url` are two names. By default this reader makes them one, and then fails on the second.
    const reader = { 'case.insensitive': 'FALSE', 'ignore.malformed.json': 'false' };
    const cfnTable = s3Table.node.defaultChild as CfnTable;
    cfnTable.addPropertyOverride('TableInput.StorageDescriptor.SerdeInfo.Parameters', reader);
    return s3Table;
  }
}
