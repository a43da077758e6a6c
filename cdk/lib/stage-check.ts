/** What a stage and the configuration must not be together. What the functions refuse is found by `check.ts`. */

import { Annotations } from 'aws-cdk-lib';
import { StreamMode } from 'aws-cdk-lib/aws-kinesis';
import { FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import type { Config } from './config';
import { CONTRACT } from './contract';
import { redeliveryDays, type Settings } from './settings';

/** Throws, or adds warnings to `scope`. */
export function checkStage(scope: Construct, name: string, config: Config, settings: Settings): void {
  refusePublic(name, config, settings);
  refuseOldRecords(config);
  refuseLittleMemory(config, settings);
  refuseShortItems(config, settings);
  warnOfPlaceholder(scope, config, settings);
  warnOfBilledBytes(scope, config, settings);
}

/** The recipe's address of a target never resolves. Without this warning, the first sign would be the alarm `dispatch-stuck`. */
function warnOfPlaceholder(scope: Construct, { dispatch: { url } }: Config, { dispatch }: Settings): void {
  if (url !== undefined) {
    if (dispatch === undefined) {
      throw new Error('-c dispatchUrl= is given, but dispatch is off: set dispatch.enabled = true, or leave it out');
    }
    if (!/^https?:\/\/[^/:?#\s][^#\s]*$/.test(url)) {
      throw new Error(
        `dispatchUrl \`${url}\` is not allowed (allowed: a URL such as https://target.example.com/graphql)`,
      );
    }
  } else if (dispatch !== undefined && new URL(dispatch.url).hostname.endsWith('.invalid')) {
    Annotations.of(scope).addWarningV2(
      'tidegate:dispatch-url',
      `dispatch.url is the placeholder ${dispatch.url}: events wait, and become dead letters after dispatch.max_attempts calls: ` +
        "give the target's address by -c dispatchUrl=",
    );
  }
}

/** A URL without credentials and without IAM lets anyone write as any tenant. That must be meant. */
function refusePublic(name: string, { mayBePublic, ingest }: Config, { needsCredentials }: Settings): void {
  if (mayBePublic || needsCredentials || ingest.auth === FunctionUrlAuthType.AWS_IAM) return;
  throw new Error(
    `${name} would be public: auth.mode is \`none\`, so anyone who finds the URL can send as any tenant: set auth.mode to ` +
      '`api_key` or `signature` in tidegate.toml, or deploy with -c auth=iam, or, if this is meant, with -c public=true',
  );
}

/** The stream would delete a record before it goes to the failure destination. */
function refuseOldRecords({ records: { ageHours, retentionHours } }: Config): void {
  if (ageHours < retentionHours) return;
  throw new Error(
    `recordAgeHours \`${ageHours}\` is not allowed (allowed: less than retentionHours, which is ${retentionHours}): the ` +
      'stream would delete a record before it goes to the failure destination',
  );
}

/** A body or a batch that does not fit ends the function, again at each retry. */
function refuseLittleMemory({ ingest, consumer }: Config, { ingestMb, consumerMb }: Settings): void {
  const functions = [
    ['ingest', ingest.memoryMb, ingestMb, 'limits.body_bytes'],
    ['consumer', consumer.memoryMb, consumerMb, 'limits.batch_bytes and limits.claim_check_bytes'],
  ] as const;
  for (const [name, given, least, keys] of functions) {
    if (given >= least) continue;
    throw new Error(
      `${name} has ${given} MB of memory, but by ${keys} it needs ${least}: set ${name}MemoryMb to at least ${least}, or lower the keys`,
    );
  }
}

/** An event that comes again after its item has expired would be stored a second time. */
function refuseShortItems({ records }: Config, { itemDays }: Settings): void {
  const days = redeliveryDays(records);
  if (itemDays >= days) return;
  throw new Error(
    `an item lives ${itemDays} days by items.days_to_live, but with retentionHours ${records.retentionHours} an event may come again ` +
      `after ${days} days: set items.days_to_live to at least ${days}, or lower retentionHours`,
  );
}

/** An on-demand stream bills bytes, and none of 25 KB begun: there compressing a small record saves money. */
function warnOfBilledBytes(scope: Construct, { stream }: Config, { compressFromBytes }: Settings): void {
  if (stream.mode !== StreamMode.ON_DEMAND || compressFromBytes < CONTRACT.items.eventBytes * 2) return;
  Annotations.of(scope).addWarningV2(
    'tidegate:compress-from-bytes',
    `the stream is on demand, which bills bytes, but publish.compress_from_bytes is ${compressFromBytes}, so smaller records are not ` +
      'compressed: set publish.compress_from_bytes = 1_024 in tidegate.toml, or -c publish.compress_from_bytes=1024',
  );
}
