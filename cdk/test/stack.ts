/** The stack for tests: without Rust and without AWS. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AwsSolutionsChecks } from 'cdk-nag';
import { FunctionAssets } from '../lib/assets';
import { ROOT } from '../lib/settings';
import { type StageConfig, stageConfig } from '../lib/stage';
import { TidegateStack } from '../lib/tidegate-stack';

export type StageName = 'dev' | 'prod';
export const STAGES: StageName[] = ['dev', 'prod'];

/** A folder that is deleted at the end. */
export function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'tidegate-cdk-'));
  process.once('exit', () => {
    rmSync(made, { recursive: true, force: true });
  });
  return made;
}

export function app(): App {
  const outdir = folder();
  const { context } = JSON.parse(readFileSync(join(__dirname, '..', 'cdk.json'), 'utf8'));
  return new App({ outdir, context, analyticsReporting: false });
}

/** `toml`: the text of a configuration file, instead of `tidegate.toml`. */
export function stack(
  stage: StageName,
  change: Partial<StageConfig> = {},
  within = app(),
  toml?: string,
): TidegateStack {
  const context: Record<string, string> = { stage, public: 'true' };
  const configuration = toml === undefined ? {} : { configuration: configurationOf(toml) };
  const config = { ...stageConfig(context), ...change, ...configuration };
  return new TidegateStack(within, `Tidegate-${stage}`, { config, assets: FunctionAssets.placeholder() });
}

/** A configuration file with this text. */
export function configurationOf(toml: string): string {
  const file = join(folder(), 'tidegate.toml');
  writeFileSync(file, toml);
  return file;
}

/** `tidegate.toml`, but with API keys. */
export function withKeys(): string {
  return source('tidegate.toml').replace(/^mode = "none"$/m, 'mode = "api_key"');
}

/** `tidegate.toml`, but anyone may read, if the stage reads. */
export function withPublicReads(): string {
  return source('tidegate.toml').replace(/(\[reads\]\n(?:.*\n)*?)public = false/, '$1public = true');
}

const templates = new Map<StageName, Template>();

/** A stage's template, synthesized once. */
export function template(stage: StageName): Template {
  const made = templates.get(stage) ?? Template.fromStack(stack(stage));
  templates.set(stage, made);
  return made;
}

/** A stage that reads events back. */
export function reading(stage: StageName, within = app()): TidegateStack {
  return stack(stage, { reads: true }, within, withPublicReads());
}

const readingTemplates = new Map<StageName, Template>();

/** Its template, synthesized once. */
export function readingTemplate(stage: StageName): Template {
  const made = readingTemplates.get(stage) ?? Template.fromStack(reading(stage));
  readingTemplates.set(stage, made);
  return made;
}

/** `tidegate.toml`, but with dispatch turned on. */
export function withDispatch(rate = '20.0'): string {
  return source('tidegate.toml')
    .replace(/(\[dispatch\](?:\n#.*)*\n)enabled = false/, '$1enabled = true')
    .replace('url = ""', 'url = "https://target.example.com/graphql"')
    .replace('rate_per_second = 10.0', `rate_per_second = ${rate}`)
    .replace(/^mode = "none"$/m, 'mode = "api_key"')
    .replace('# Authorization = "Bearer {secret}"', 'Authorization = "Bearer {secret}"');
}

export const SECRET = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:target-AbCdEf';
export const DISPATCH = { secretArn: SECRET, tracing: false };

let dispatching: Template | undefined;

/** The template of `prod` with API keys and dispatch: it has every resource and every alarm that there can be. */
export function dispatchTemplate(): Template {
  const change = { mayBePublic: false, dispatch: DISPATCH };
  dispatching ??= Template.fromStack(stack('prod', change, app(), withDispatch()));
  return dispatching;
}

let keys: Template | undefined;

/** The template of `prod` with API keys: ingest asks for them. */
export function templateWithKeys(): Template {
  keys ??= Template.fromStack(stack('prod', { mayBePublic: false }, app(), withKeys()));
  return keys;
}

export type Json = any;

export interface Resource {
  readonly id: string;
  readonly Type: string;
  readonly Properties: Json;
  readonly DeletionPolicy?: string;
  readonly UpdatePolicy?: Json;
}

/** The resources of a type. */
export function resources(of: Template, type: string): Resource[] {
  const found = of.findResources(type) as Record<string, Omit<Resource, 'id'>>;
  return Object.entries(found).map(([id, resource]) => ({ id, ...resource }));
}

/** The only resource of a type whose logical id starts with `id`. */
export function resource(of: Template, type: string, id: string): Resource {
  const found = resources(of, type).filter((resource) => resource.id.startsWith(id));
  const [only] = found;
  if (found.length !== 1 || only === undefined)
    throw new Error(`${found.length} resources of type ${type} have an id that starts with ${id}`);
  return only;
}

/** A file of the repository. */
export function source(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** The first group of the pattern in `text`. */
export function capture(text: string, pattern: RegExp): string {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`nothing matches ${pattern}`);
  return found;
}

/** CloudFormation writes a list of one as the one. */
export function list<T>(one: T | T[]): T[] {
  return Array.isArray(one) ? one : [one];
}

export interface AlarmJson {
  readonly id: string;
  /** Of its runbook. */
  readonly name: string;
  readonly Expression?: string;
  readonly Threshold: number;
  readonly DatapointsToAlarm: number;
  readonly EvaluationPeriods: number;
  readonly TreatMissingData: string;
  readonly AlarmActions: Json[];
  readonly OKActions: Json[];
  readonly metrics: { Namespace: string; MetricName: string; Period: number; Dimensions: Json[]; Stat?: string }[];
}

/** The alarms with the metrics that they evaluate. */
export function alarms(of: Template): AlarmJson[] {
  return resources(of, 'AWS::CloudWatch::Alarm').map(({ id, Properties }) => {
    const { Metrics = [], ...rest } = Properties;
    const evaluated = Metrics.filter(({ MetricStat }: Json) => MetricStat);
    const metrics = evaluated.map(({ MetricStat: { Metric, Period, Stat } }: Json) => ({ ...Metric, Period, Stat }));
    return {
      id,
      ...rest,
      name: capture(rest.AlarmDescription, /docs\/runbooks\/([a-z-]+)\.md$/),
      Expression: Metrics.find((metric: Json) => metric.Expression)?.Expression,
      metrics: metrics.length > 0 ? metrics : [rest],
    };
  });
}

/** The rules of cdk-nag that are broken and not acknowledged. */
export function nag(within: App): string[] {
  Validations.of(within).addPlugins(new AwsSolutionsChecks(within));
  try {
    within.synth();
  } catch (error) {
    // The findings are in the report: the tests judge them.
    if ((error as Error).name !== 'ValidationFailed') throw error;
  }
  const { pluginReports } = JSON.parse(readFileSync(join(within.outdir, 'validation-report.json'), 'utf8'));
  return pluginReports.flatMap(({ violations }: Json) => violations.map(({ ruleName }: Json) => ruleName));
}
