/**
 * The functions' code: what `cargo lambda build` makes, each binary with the configuration beside it.
 *
 * `-c assets=placeholder` packs a script that only fails, so that a template can be had without Rust; `-c assets=prebuilt`
 * takes what an earlier `cargo lambda build` left in `target/lambda`, or in the folder of `-c functions=`. The configuration
 * is the repository's `tidegate.toml`, or the file of `-c configuration=`.
 */

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code } from 'aws-cdk-lib/aws-lambda';
import type { Architecture } from './config';
import { CONFIGURATION, ROOT } from './settings';

/** A Lambda binary of the workspace. */
export type Binary = 'ingest-fn' | 'spill-redriver' | 'consumer-fn';

/** Where `cargo lambda build` leaves its binaries. */
const LAMBDA = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'lambda');

/** The code of a binary. */
export type FunctionAssets = (binary: Binary) => Code;

/** The crate's feature that brings the AWS SDK, and the profile that is deployed. */
const BUILD = [
  'lambda',
  'build',
  '--profile',
  'lambda',
  '--locked',
  ...['--package', 'ingest-fn', '--package', 'consumer-fn'],
  ...['--features', 'ingest-fn/aws,consumer-fn/aws'],
  ...['--bin', 'ingest-fn', '--bin', 'spill-redriver', '--bin', 'consumer-fn'],
];

/**
 * `folder` is where the binaries are, if elsewhere than `cargo lambda build` leaves them by itself; `configuration` the file
 * that goes with them.
 */
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
    case 'build': {
      let isBuilt = false;
      return (binary) => {
        if (!isBuilt) build(architecture);
        isBuilt = true;
        return pack(built(binary, LAMBDA), configuration);
      };
    }
    default:
      throw new Error(`assets \`${JSON.stringify(mode)}\` is not known (known: build, prebuilt, placeholder)`);
  }
}

function build(architecture: Architecture): void {
  const found = spawnSync('cargo', ['lambda', '--version'], { stdio: 'ignore' });
  if (found.status !== 0) {
    throw new Error(
      'the functions are built by cargo-lambda, which is not installed: `python3 -m venv ~/.cargo-lambda && ' +
        '~/.cargo-lambda/bin/pip install cargo-lambda==1.9.2` (it brings the linker along), with ~/.cargo-lambda/bin on ' +
        'the PATH; or https://www.cargo-lambda.info; or synthesize with -c assets=placeholder',
    );
  }
  const target = architecture === 'arm64' ? ['--arm64'] : [];
  const run = spawnSync('cargo', [...BUILD, ...target], {
    cwd: ROOT,
    // The CDK reads stdout for itself.
    stdio: ['ignore', process.stderr, process.stderr],
    // 31 ms of every cold start would go into gathering entropy that the kernel has already.
    env: { ...process.env, AWS_LC_SYS_NO_JITTER_ENTROPY: '1' },
  });
  if (run.status !== 0) throw new Error(`cargo ${[...BUILD, ...target].join(' ')} failed`);
}

function built(binary: Binary, folder: string): string {
  const file = join(folder, binary, 'bootstrap');
  if (!existsSync(file)) throw new Error(`${file} is not there: cargo ${BUILD.join(' ')}`);
  return file;
}

/** A folder of `bootstrap` and `tidegate.toml`. Its hash depends on their bytes alone. */
function pack(bootstrap: string, configuration: string): Code {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-function-'));
  process.once('exit', () => {
    rmSync(folder, { recursive: true, force: true });
  });
  copyFileSync(bootstrap, join(folder, 'bootstrap'));
  copyFileSync(configuration, join(folder, 'tidegate.toml'));
  return Code.fromAsset(folder);
}
