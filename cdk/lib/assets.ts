/**
 * The functions' code: the binaries of `cargo lambda build`, each packed with the configuration.
 *
 * `-c assets=placeholder` packs a script that only fails: for templates without Rust. `-c assets=prebuilt` takes the binaries
 * that an earlier `cargo lambda build` wrote to `target/lambda`, or to the folder of `-c functions=`. The configuration is the
 * repository's `tidegate.toml`, or the file of `-c configuration=` or of `-c recipe=`.
 */

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code } from 'aws-cdk-lib/aws-lambda';
import type { Architecture } from './config';
import { CONTRACT } from './contract';
import { CONFIGURATION, ROOT } from './settings';

/** Where `cargo` writes programs. */
export const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
/** Where `cargo lambda build` writes the binaries. */
export const LAMBDA = join(TARGET, 'lambda');

/** The code of a binary. */
export type FunctionAssets = (binary: string) => Code;

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

/** Builds the binaries, if it is to. `folder` holds the prebuilt binaries, `configuration` is the file that is packed with each of them. */
export function functionAssets(
  mode: unknown,
  architecture: Architecture,
  folder: string = LAMBDA,
  configuration: string = CONFIGURATION,
): FunctionAssets {
  switch (mode) {
    case 'placeholder':
      return () => pack(join(__dirname, '..', 'assets', 'placeholder', 'bootstrap'), configuration);
    case 'prebuilt':
      return (binary) => pack(built(binary, folder), configuration);
    case undefined:
    case 'build':
      build(architecture);
      return (binary) => pack(built(binary, LAMBDA), configuration);
    default:
      throw new Error(`assets \`${JSON.stringify(mode)}\` is not known (known: build, prebuilt, placeholder)`);
  }
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
  const target = architecture === 'arm64' ? ['--arm64'] : [];
  const run = spawnSync('cargo', [...BUILD, ...target], {
    cwd: ROOT,
    // The CDK reads this process's stdout.
    stdio: ['ignore', process.stderr, process.stderr],
  });
  if (run.status !== 0) throw new Error(`cargo ${[...BUILD, ...target].join(' ')} failed`);
}

function built(binary: string, folder: string): string {
  const file = join(folder, binary, 'bootstrap');
  if (!existsSync(file)) throw new Error(`${file} does not exist: run cargo ${BUILD.join(' ')}`);
  return file;
}

/** A folder of `bootstrap` and `tidegate.toml`. Its hash depends on their bytes only. */
function pack(bootstrap: string, configuration: string): Code {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-function-'));
  process.once('exit', () => {
    rmSync(folder, { recursive: true, force: true });
  });
  copyFileSync(bootstrap, join(folder, 'bootstrap'));
  copyFileSync(configuration, join(folder, 'tidegate.toml'));
  return Code.fromAsset(folder);
}
