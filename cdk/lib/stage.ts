/** A stage: what its file, the recipe and `-c` give. */

import type { Config } from './config';
import { configOf } from './defaults';
import { configurationFile } from './settings';
import { type Given, stageGiven } from './stage-file';

/** What the stack is made from, where stages differ. */
export interface StageConfig extends Omit<Config, 'encryptionKey'> {
  /** Names the stack, and the value of the tag `stage`. */
  readonly stage: string;
  /** That it is deployed to. If they are not set, those of the credentials. */
  readonly account?: string;
  readonly region?: string;
  /** The ARN of the key that encrypts what is stored. If it is not set, keys of AWS do. */
  readonly keyArn?: string;
  /** The names of tables that are used instead of own ones. */
  readonly itemsTable?: string;
  readonly ledgerTable?: string;
  /** Dollars. Without it there is no budget. */
  readonly monthlyBudget?: number;
  /** On every resource, for cost reports. */
  readonly tags: Readonly<Record<string, string>>;
}

/** The stage of `-c stage=`, `dev` by default. `unknown` gets a warning for each name that nothing reads. */
export function stageConfig(context: Given = {}, unknown: (warning: string) => void = () => {}): StageConfig {
  const { stage, settings, keys, recipe, configuration, unknown: warnings } = stageGiven(context);
  warnings.forEach(unknown);
  return {
    ...configOf(settings),
    stage,
    account: settings.account,
    region: settings.region,
    keys,
    configuration: configurationFile(recipe, configuration),
    keyArn: settings.keyArn,
    itemsTable: settings.itemsTable,
    ledgerTable: settings.ledgerTable,
    monthlyBudget: settings.monthlyBudget,
    tags: { application: 'tidegate', stage, 'cost-center': settings.costCenter ?? 'tidegate' },
  };
}
