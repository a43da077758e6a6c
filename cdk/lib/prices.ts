/**
 * List prices of us-east-1 in dollars, x86-64, without the free tier. The dashboard's estimate and `docs/cost.md` use them.
 * Prices change: compare them with https://aws.amazon.com/pricing before you rely on a figure.
 */
export const PRICES = {
  /** When they were listed. */
  asOf: '2026-11',
  lambda: { request: 0.2e-6, gbSecond: 0.0000166667 },
  kinesis: {
    shardHour: 0.015,
    putUnit: 0.014e-6,
    putUnitBytes: 25_600,
    onDemandStreamHour: 0.04,
    onDemandGbIn: 0.08,
    onDemandGbOut: 0.04,
  },
  dynamodb: {
    writeUnit: 0.625e-6,
    readUnit: 0.125e-6,
    writeUnitHour: 0.00065,
    readUnitHour: 0.00013,
    gbMonth: 0.25,
    pitrGbMonth: 0.2,
  },
  s3: {
    put: 5e-6,
    get: 0.4e-6,
    gbMonth: 0.023,
    infrequentGbMonth: 0.0125,
    /** Smaller objects are billed as this in Infrequent Access. */
    infrequentLeastBytes: 128 * 1024,
    /** Objects that it has for less are billed for this long. */
    infrequentLeastDays: 30,
    toInfrequent: 10e-6,
  },
  kms: { call: 3e-6 },
  egress: { gb: 0.09 },
  sqs: { request: 0.4e-6 },
  cloudwatch: { metricMonth: 0.3, alarmMonth: 0.1, dashboardMonth: 3, logsGb: 0.5 },
  xray: { trace: 5e-6 },
  apiGateway: { httpRequest: 1e-6 },
  firehose: { gbIngested: 0.029, gbDynamicPartitioning: 0.02, ingestRoundingBytes: 5_120 },
} as const;

export const HOURS_A_MONTH = 730;

/** The alarms of the stack: a test counts them. */
export const WATCHED = {
  alarms: 19,
  /** An alarm is charged for each metric that it evaluates: two of them evaluate two. With the index by time three do. */
  alarmMetrics: 21,
} as const;
