/**
 * What is given for a stage: its file `stages/NAME.toml` or `.json`, the recipe, and `-c` on the command line. The last of these
 * wins; but a recipe that the file names is the base of the file.
 */

import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'smol-toml';
import { nearest } from './nearest';
import { REFUSED, type Setting, SETTINGS, type SettingName, type StageSettings } from './stage-settings';

/** The files of the stages. */
export const STAGES = join(__dirname, '..', 'stages');

/** Options that are no settings of a stage. Of these a stage's file may have those that choose the configuration. */
const OF_CONFIGURATION = ['recipe', 'configuration'];
const OPTIONS = ['stage', 'assets', 'functions', ...OF_CONFIGURATION];

/** What the documents with a recipe ask of a stage. Their pages in `docs/recipes` have the reasons. */
export const RECIPES: Readonly<Record<string, Given>> = {
  // A source sees no second answer, so each request is traced.
  'event-bridge': { tracing: true, canary: true },
  'event-receiver': {},
  // It asks for automatic scaling, for canary releases and for X-Ray.
  'event-streaming': { stream: 'on-demand', tracing: true, canary: true },
  // Its cost is to follow its use.
  'http-ingestion': {},
  // Public without credentials, on the free tier.
  'robust-data-processor': { public: true, auth: 'none' },
};

/** By name: settings, options, and keys of `tidegate.toml` such as `archive.window_seconds`. */
export type Given = Readonly<Record<string, unknown>>;

export interface StageGiven {
  readonly stage: string;
  readonly settings: StageSettings;
  readonly recipe?: string;
  readonly configuration?: string;
  /** Keys of `tidegate.toml` that the stage overrides, as the text of their variables. */
  readonly keys: { [key: string]: string };
  /** A warning for each name that nothing reads. */
  readonly unknown: readonly string[];
}

interface Layer {
  /** For messages. */
  readonly from: string;
  readonly given: Given;
}

interface Found {
  readonly text: string;
  readonly from: string;
}

/** `context`: all context of the CDK, of which the names of other tools are left out. */
export function stageGiven(context: Given, folder: string = STAGES): StageGiven {
  const command: Layer = { from: '-c', given: Object.fromEntries(Object.entries(context).filter(isOurs)) };
  const stage = text(command.given.stage) ?? 'dev';
  const file = stageFile(stage, folder);
  const chosen = text(command.given.recipe);
  const recipe = chosen ?? text(file.given.recipe);
  const ofRecipe: Layer = { from: 'its recipe', given: recipe === undefined ? {} : recipeSettings(recipe) };
  const layers = chosen === undefined ? [ofRecipe, file, command] : [file, ofRecipe, command];
  const found = Object.fromEntries(layers.flatMap((layer) => Object.entries(flat(layer))));
  return {
    stage,
    recipe,
    configuration: found.configuration?.text,
    settings: readSettings(found),
    keys: keys(found),
    unknown: layers.flatMap(unknownNames),
  };
}

/** A stage is where its file is: a name with a typing error would deploy another one. */
function stageFile(stage: string, folder: string): Layer {
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(stage)) {
    throw new Error(`stage \`${stage}\` is not allowed (allowed: a small letter, then up to 31 of a-z, 0-9 and -)`);
  }
  const files = ['toml', 'json'].map((type) => join(folder, `${stage}.${type}`)).filter(existsSync);
  const [file, other] = files;
  if (file === undefined) {
    throw new Error(
      `stage \`${stage}\` is not known: make its file stages/${stage}.toml; an empty one has the defaults`,
    );
  }
  if (other !== undefined) throw new Error(`stage \`${stage}\` has two files: delete ${file} or ${other}`);
  const content = readFileSync(file, 'utf8');
  const given = (file.endsWith('.json') ? JSON.parse(content) : parse(content)) as Given;
  return { from: `stages/${basename(file)}`, given };
}

function recipeSettings(recipe: string): Given {
  const found = RECIPES[recipe];
  if (found !== undefined) return found;
  throw new Error(`recipe \`${recipe}\` is not known (known: ${Object.keys(RECIPES).join(', ')})`);
}

/** Names of the CDK and of other tools have other characters, such as `@aws-cdk/core:…`, or their values are objects. */
function isOurs([name, value]: [string, unknown]): boolean {
  return /^[A-Za-z][\w.]*$/.test(name) && typeof value !== 'object';
}

/** An empty value is none: workflows give options also where their variables are not set. */
function text(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (Array.isArray(value)) return value.map(String).join(',');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Tables are sections of `tidegate.toml`; of other values a file's text needs quotes, as in TOML. */
function flat({ from, given }: Layer): Record<string, Found> {
  const flatten = (value: unknown, path: string): [string, Found][] => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return Object.entries(value).flatMap(([key, inner]) => flatten(inner, `${path}.${key}`));
    }
    const found = from !== '-c' && path.includes('.') ? JSON.stringify(value) : text(value);
    return found === undefined ? [] : [[path, { text: found, from }]];
  };
  return Object.fromEntries(Object.entries(given).flatMap(([name, value]) => flatten(value, name)));
}

/** All problems are told at once. */
function readSettings(found: Readonly<Record<string, Found>>): StageSettings {
  const problems: string[] = [];
  const read = ([name, setting]: [string, Setting<unknown>]) => {
    const given = found[name] ?? (setting.byDefault === undefined ? undefined : { text: setting.byDefault, from: '' });
    if (given === undefined) return [name, undefined];
    const value = setting.read(given.text);
    if (value === REFUSED) {
      problems.push(`${name} \`${given.text}\` is not allowed (allowed: ${setting.allowed}), from ${given.from}`);
    }
    return [name, value];
  };
  const settings = Object.fromEntries(Object.entries(SETTINGS).map(read)) as StageSettings;
  if (problems.length === 0) problems.push(...together(settings));
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return settings;
}

/** Settings that do not go together. */
function* together(settings: StageSettings): Generator<string> {
  const { itemsCapacity, itemsWarmUnits, itemsTable, vpc, subnets, routeTables } = settings;
  if (itemsTable !== undefined && (itemsCapacity !== undefined || itemsWarmUnits !== undefined)) {
    yield 'itemsTable excludes itemsCapacity and itemsWarmUnits: the table has the capacity that it was restored with';
  }
  if (itemsCapacity !== undefined && itemsWarmUnits !== undefined) {
    yield `itemsWarmUnits \`${itemsWarmUnits}\` is not allowed with provisioned itemsCapacity: its least number is where it begins`;
  }
  if ((vpc !== undefined) !== subnets.length > 0) yield 'vpc and subnets go together: set both, or none';
  if (vpc === undefined && routeTables.length > 0)
    yield 'routeTables are those of a vpc: set vpc and subnets, or leave it out';
}

/** Lambda takes no other characters in a variable's name. */
function keys(found: Readonly<Record<string, Found>>): Record<string, string> {
  const ofConfiguration = Object.entries(found).filter(([name]) => name.includes('.'));
  for (const [name, { from }] of ofConfiguration) {
    if (/^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$/.test(name)) continue;
    throw new Error(
      `\`${name}\`, from ${from}, is no key of tidegate.toml that a stage can override: its name may have small letters, digits and _`,
    );
  }
  return Object.fromEntries(ofConfiguration.map(([name, { text }]) => [name, text]));
}

function unknownNames({ from, given }: Layer): string[] {
  const options = from === '-c' ? OPTIONS : OF_CONFIGURATION;
  const known = [...(Object.keys(SETTINGS) as SettingName[]), ...options];
  const isKnown = (name: string) => known.includes(name) || name.includes('.') || typeof given[name] === 'object';
  return Object.keys(given)
    .filter((name) => !isKnown(name))
    .map((name) => {
      const meant = nearest(name, known);
      return `\`${name}\`, from ${from}, is no setting, so it changes nothing${meant === undefined ? '' : `; did you mean \`${meant}\`?`}`;
    });
}
