import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Annotations, Match } from 'aws-cdk-lib/assertions';
import { programs } from '../bin/assets';
import { FunctionAssets } from '../lib/assets';
import { type Program, checkConfiguration, warnOfUnchecked } from '../lib/check';
import { stageConfig } from '../lib/stage';
import { CONTRACT } from '../lib/contract';
import { overrides } from '../lib/settings';
import { app } from './stack';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-check-'));
process.once('exit', () => {
  rmSync(folder, { recursive: true, force: true });
});

/** A program of this name, which runs the script. */
function program(name: string, script: string): Program {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return { file, arguments: ['--check-config'] };
}

const accepts = program('accepts', 'exit 0');
const refuses = program('refuses', 'echo "configuration: \\`a.b\\` is \\`c\\`, allowed: d" >&2; exit 1');

test('what the functions refuse is refused with their message, and the file and the program are named', () => {
  assert.throws(
    () => checkConfiguration('my.toml', {}, [refuses]),
    /^Error: configuration: `a\.b` is `c`, allowed: d\n\(my\.toml, as .*\/refuses reads it: if that program is older/,
  );
  const tidegate = program('old', 'echo "tidegate: the configuration \\`x\\` cannot be read: y" >&2; exit 1');
  assert.throws(
    () => checkConfiguration('my.toml', {}, [tidegate]),
    /^Error: the configuration `x` cannot be read: y\n/,
  );
  assert.equal(checkConfiguration('my.toml', {}, [accepts, refuses]), true);
});

test('a program that cannot run here is no refusal: the next one is asked, and if there is none, it is said', () => {
  const cannot = [
    { file: join(folder, 'missing'), arguments: [] },
    program('without-libc', 'echo "bootstrap: version GLIBC_2.99 not found" >&2; exit 1'),
    program('older', 'echo "error: unrecognized subcommand \'config\'" >&2; exit 2'),
    program('killed', 'kill -9 $$'),
  ];
  assert.throws(() => checkConfiguration('my.toml', {}, [...cannot, refuses]), /allowed: d/);
  assert.equal(checkConfiguration('my.toml', {}, cannot), false);
  const unchecked = new Stack(app());
  warnOfUnchecked(unchecked);
  const found = Annotations.fromStack(unchecked).findWarning('*', Match.stringLikeRegexp('was not checked'));
  assert.equal(found.length, 1);
});

test('the program gets the file, and the variables of the functions instead of those of this shell', () => {
  process.env.TIDEGATE__TIERS__DEFAULT = 'gold';
  const expected = `${CONTRACT.configuration.variable}=my.toml ${CONTRACT.reads.enabledVariable}=true`;
  const prints = program(
    'prints',
    `test "$${CONTRACT.configuration.variable}:$${CONTRACT.reads.enabledVariable}:$TIDEGATE__TIERS__DEFAULT" = "my.toml:true:"`,
  );
  const stage = stageConfig({ reads: 'true' });
  assert.equal(checkConfiguration('my.toml', overrides(stage), [prints]), true, expected);
  delete process.env.TIDEGATE__TIERS__DEFAULT;
});

test('the function that is deployed is asked first, then the program that was built last', () => {
  const [release, debug] = ['release', 'debug'].map((profile) => program(join('target', profile, 'tidegate'), '').file);
  assert.ok(release && debug);
  utimesSync(release, 1, 1);
  const built = programs(join(folder, 'target'));
  const files = (assets: FunctionAssets) => assets._checkedBy(built)._programs.map(({ file }) => file);
  assert.deepEqual(files(FunctionAssets.placeholder()), [debug, release]);
  assert.deepEqual(files(FunctionAssets.fromFolder('/functions')), ['/functions/ingest-fn/bootstrap', debug, release]);
  assert.deepEqual(programs(join(folder, 'nothing')), []);
});

test('the synthesis of the app asks', () => {
  const target = join(folder, 'app');
  program(
    join('app', 'debug', 'tidegate'),
    'echo "tidegate: configuration: \\`a.b\\` is \\`c\\`, allowed: d" >&2; exit 1',
  );
  const synthesized = spawnSync(process.execPath, ['--import', 'tsx', 'bin/tidegate.ts'], {
    cwd: join(__dirname, '..'),
    encoding: 'utf8',
    env: { ...process.env, CARGO_TARGET_DIR: target, CDK_CONTEXT_JSON: '{"assets":"placeholder"}' },
  });
  assert.notEqual(synthesized.status, 0);
  assert.match(synthesized.stderr, /configuration: `a\.b` is `c`, allowed: d/);
});
