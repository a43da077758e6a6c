/**
 * The functions' code, as `-c assets=` chooses it: built by `cargo lambda build`, which is the default; `prebuilt`, as an earlier build
 * wrote it to `target/lambda` or to the folder of `-c functions=`; or a `placeholder`, for templates without Rust.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Architecture } from 'aws-cdk-lib/aws-lambda';
import { FunctionAssets } from '../lib/assets';
import type { Program } from '../lib/check';
import { CONTRACT } from '../lib/contract';
import { ROOT } from '../lib/settings';

/** Where `cargo` writes programs. */
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
/** Where `cargo lambda build` writes the binaries. */
const LAMBDA = join(TARGET, 'lambda');

const BUILD = [
  'lambda',
  'build',
  '--profile',
  'lambda',
  '--locked',
  ...['--package', 'ingest-fn', '--package', 'consumer-fn', '--package', 'dispatch-fn'],
  ...['--features', 'ingest-fn/aws,consumer-fn/aws,dispatch-fn/aws'],
  ...Object.values(CONTRACT.functions).flatMap(({ binary }) => ['--bin', binary]),
];

/** Builds the binaries, if it is to. `folder` holds the prebuilt binaries. */
export function functionAssets(mode: unknown, architecture: Architecture, folder: string = LAMBDA): FunctionAssets {
  switch (mode) {
    case 'placeholder':
      return FunctionAssets.placeholder()._checkedBy(programs());
    case 'prebuilt':
      return FunctionAssets.fromFolder(folder)._checkedBy(programs());
    case undefined:
    case 'build':
      build(architecture);
      return FunctionAssets.fromFolder(LAMBDA)._checkedBy(programs());
    default:
      throw new Error(`assets \`${JSON.stringify(mode)}\` is not known (known: build, prebuilt, placeholder)`);
  }
}

/** `tidegate`, the one that was built last first. There may be none, as where only a template is made. */
export function programs(target: string = TARGET): Program[] {
  const built = ['release', 'debug']
    .map((profile) => join(target, profile, 'tidegate'))
    .filter((file) => existsSync(file));
  built.sort((one, other) => statSync(other).mtimeMs - statSync(one).mtimeMs);
  return built.map((file) => ({ file, arguments: ['config', '--check', '--deployed'] }));
}

function build(architecture: Architecture): void {
  const found = spawnSync('cargo', ['lambda', '--version'], { stdio: 'ignore' });
  if (found.status !== 0) {
    throw new Error(
      'cargo-lambda builds the functions, and it is not installed: `python3 -m venv ~/.cargo-lambda && ' +
        '~/.cargo-lambda/bin/pip install cargo-lambda==1.9.2` (with its linker), then put ~/.cargo-lambda/bin on the PATH; ' +
        'or see https://www.cargo-lambda.info; or synthesize with -c assets=placeholder',
    );
  }
  const target = architecture === Architecture.ARM_64 ? ['--arm64'] : [];
  const run = spawnSync('cargo', [...BUILD, ...target], {
    cwd: ROOT,
    // The CDK reads this process's stdout.
    stdio: ['ignore', process.stderr, process.stderr],
  });
  if (run.status !== 0) throw new Error(`cargo ${[...BUILD, ...target].join(' ')} failed`);
}
