import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import { CfnNamedQuery, CfnWorkGroup } from 'aws-cdk-lib/aws-athena';
import {
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
  StorageParameter,
} from 'aws-cdk-lib/aws-glue';
import { Construct } from 'constructs';
import { type ArchiveBucket, PREFIXES } from './archive-bucket';

/** A scan ends here: half a dollar by mistake, not fifty. */
const BYTES_SCANNED_CUTOFF = 100_000_000_000;
/** The first day that can be queried. */
const FIRST_DAY = '2026-01-01';

const { STRING, INTEGER } = Schema;
const column = (name: string, type: Column['type'], comment?: string): Column => ({ name, type, comment });

/** The columns of `events`: an archive line's members (`consumer-fn/src/archive/line.rs`). */
export const EVENT_COLUMNS: Column[] = [
  column('v', INTEGER),
  column('id', STRING),
  column('admission_id', STRING),
  column('tenant', STRING),
  column('tier', STRING),
  column('source', STRING),
  column('received_at', STRING, 'RFC 3339, UTC'),
  column('event_time', STRING),
  column('processed_at', STRING),
  column('text', STRING),
  column('text_ref', STRING, 'JSON: where a text too large for a line lies'),
  column('fields', STRING, 'JSON: every other member that the client sent'),
  column('shard', STRING),
  column('sequence_number', STRING),
  column('position', INTEGER),
  column('fields_ref', STRING),
  column('original_text', STRING),
  column('original_ref', STRING),
];

/** The columns of `errors`: a quarantine line's members (`consumer-fn/src/quarantine.rs`). */
export const ERROR_COLUMNS: Column[] = [
  column('reason', STRING),
  column('detail', STRING),
  column('tenant', STRING),
  column('id', STRING),
  column('shard', STRING),
  column('sequence_number', STRING),
  column('position', INTEGER),
  column('arrival', STRING),
  column('partition_key', STRING),
  column('bytes', STRING, 'base64'),
];

/** The queries that come with the workgroup. They run unchanged in Athena and, in the tests, in DuckDB. */
export const QUERIES = ['one-tenants-hour', 'counts-by-tier', 'quarantine-reasons'] as const;

export function query(name: (typeof QUERIES)[number]): string {
  return readFileSync(join(__dirname, '..', '..', 'sql', `${name}.sql`), 'utf8');
}

export interface ArchiveSqlProps {
  readonly archive: ArchiveBucket;
  readonly stage: string;
  readonly namedQueries: boolean;
}

/** SQL over the archive: tables whose partitions are computed and never have to be added, a workgroup, queries. */
export class ArchiveSql extends Construct {
  readonly database: Database;
  readonly workGroup: CfnWorkGroup;

  constructor(scope: Construct, id: string, props: ArchiveSqlProps) {
    super(scope, id);
    const { bucket } = props.archive;
    this.database = new Database(this, 'Database', { databaseName: `tidegate_${props.stage}` });
    // It is a description of objects, not their keeper; and one that stayed would stand in the next stack's way.
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
    this.table('events', PREFIXES.events, EVENT_COLUMNS, { dt: day, hr: hour }, props);
    this.table('errors', PREFIXES.errors, ERROR_COLUMNS, { dt: day }, props);

    this.workGroup = new CfnWorkGroup(this, 'WorkGroup', {
      name: `${Stack.of(this).stackName}-archive`,
      description: 'Queries over the archive of Tidegate.',
      recursiveDeleteOption: true,
      workGroupConfiguration: {
        enforceWorkGroupConfiguration: true,
        publishCloudWatchMetricsEnabled: true,
        bytesScannedCutoffPerQuery: BYTES_SCANNED_CUTOFF,
        resultConfiguration: {
          outputLocation: bucket.s3UrlForObject(PREFIXES.queries),
          encryptionConfiguration: { encryptionOption: 'SSE_S3' },
        },
      },
    });
    for (const name of props.namedQueries ? QUERIES : []) {
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
    name: string,
    prefix: string,
    columns: Column[],
    projection: Record<string, PartitionProjectionConfiguration>,
    props: ArchiveSqlProps,
  ): S3Table {
    return new S3Table(this, name, {
      database: this.database,
      tableName: name,
      description: `${prefix} of the archive bucket`,
      storage: S3TableStorage.fromBucket(props.archive.bucket),
      s3Prefix: prefix,
      columns,
      partitionKeys: Object.keys(projection).map((key) => column(key, STRING)),
      partitionProjection: projection,
      // This reader gives an object in a column of text as its JSON, which Hive's refuses.
      dataFormat: new DataFormat({
        inputFormat: InputFormat.TEXT,
        outputFormat: OutputFormat.HIVE_IGNORE_KEY_TEXT,
        serializationLibrary: SerializationLibrary.OPENX_JSON,
      }),
      storageParameters: [StorageParameter.custom('ignore.malformed.json', 'false')],
    });
  }
}
