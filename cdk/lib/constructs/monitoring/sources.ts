import type { Config } from '../../config';
import type { StageMetrics } from '../../metrics';
import type { Settings } from '../../settings';
import type { Consumer } from '../consumer';
import type { Credentials } from '../credentials';
import type { Dispatch } from '../dispatch';
import type { EventStream } from '../event-stream';
import type { IngestApi } from '../ingest-api';
import type { ItemsTable } from '../items-table';
import type { LedgerTable } from '../ledger-table';
import type { SpillQueue } from '../spill-queue';

/** The constructs whose metrics are on the dashboard. */
export interface DashboardSources {
  readonly settings: Settings;
  readonly metrics: StageMetrics;
  /** `undefined` where the stream is not made here: its owner pays for it. */
  readonly streamConfig?: Config['stream'];
  readonly credentials?: Credentials;
  readonly ingest: IngestApi;
  readonly stream: EventStream;
  readonly spill: SpillQueue;
  readonly consumer: Consumer;
  readonly items: ItemsTable;
  readonly ledger: LedgerTable;
  /** `undefined` where dispatch is off. */
  readonly dispatch?: Dispatch;
}
