/** The stack as tests see it: without Rust and without AWS. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { functionAssets } from '../lib/assets';
import { type StageConfig, stageConfig } from '../lib/config';
import { ROOT, readSettings } from '../lib/settings';
import { TidegateStack } from '../lib/tidegate-stack';

export type StageName = 'dev' | 'prod';
export const STAGES: StageName[] = ['dev', 'prod'];

export function app(): App {
  const outdir = mkdtempSync(join(tmpdir(), 'tidegate-cdk-'));
  process.once('exit', () => {
    rmSync(outdir, { recursive: true, force: true });
  });
  const { context } = JSON.parse(readFileSync(join(__dirname, '..', 'cdk.json'), 'utf8'));
  return new App({ outdir, context, analyticsReporting: false });
}

export function stack(stage: StageName, change: Partial<StageConfig> = {}, within = app()): TidegateStack {
  const config = { ...stageConfig((key) => (key === 'stage' ? stage : undefined)), ...change };
  const assets = functionAssets('placeholder', config.architecture);
  return new TidegateStack(within, `Tidegate-${stage}`, { config, settings: readSettings(), assets });
}

const templates = new Map<StageName, Template>();

/** A stage's template, made once. */
export function template(stage: StageName): Template {
  const made = templates.get(stage) ?? Template.fromStack(stack(stage));
  templates.set(stage, made);
  return made;
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

/** The resource of a type whose id begins so. */
export function resource(of: Template, type: string, id: string): Resource {
  const found = resources(of, type).filter((resource) => resource.id.startsWith(id));
  const [only] = found;
  if (found.length !== 1 || only === undefined) throw new Error(`${found.length} resources ${type} begin with ${id}`);
  return only;
}

/** A file of the repository. */
export function source(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}
