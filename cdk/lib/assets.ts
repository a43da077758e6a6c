/** The functions' code: the binaries of `cargo lambda build`, each packed with the configuration. */

import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { CONTRACT } from './contract';
import type { Program } from './check';

const placeholder = () => join(__dirname, '..', 'assets', 'placeholder', 'bootstrap');

/** Where the code of the functions comes from. */
export class FunctionAssets {
  /** A folder with a folder for each binary, as `cargo lambda build` writes them to `target/lambda`. */
  static fromFolder(folder: string): FunctionAssets {
    const deployed = join(folder, CONTRACT.functions.ingest.binary, 'bootstrap');
    return new FunctionAssets(
      (binary) => join(folder, binary, 'bootstrap'),
      [{ file: deployed, arguments: [CONTRACT.configuration.check] }],
    );
  }

  /** No code: for templates without Rust. Each function is a script that only fails, and CloudFormation refuses to deploy it. */
  static placeholder(): FunctionAssets {
    return new FunctionAssets(placeholder, []);
  }

  private constructor(
    private readonly bootstrap: (binary: string) => string,
    private readonly checkers: readonly Program[],
  ) {}

  /**
   * With these programs the configuration is checked, too, if its own function cannot be asked.
   * @internal
   */
  _checkedBy(programs: readonly Program[]): FunctionAssets {
    return new FunctionAssets(this.bootstrap, [...this.checkers, ...programs]);
  }

  /**
   * The programs that can be asked about the configuration, best first: the function that is deployed.
   * @internal
   */
  get _programs(): readonly Program[] {
    return this.checkers;
  }

  /** @internal */
  get _isPlaceholder(): boolean {
    return this.bootstrap === placeholder;
  }

  /** The code of a binary: a folder of `bootstrap` and `tidegate.toml`. Its hash depends on their bytes only. */
  code(binary: string, configuration: string): Code {
    const bootstrap = this.bootstrap(binary);
    if (!existsSync(bootstrap)) {
      throw new Error(`${bootstrap} does not exist: build the functions by \`cargo lambda build\` (docs/library.md)`);
    }
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-function-'));
    process.once('exit', () => {
      rmSync(folder, { recursive: true, force: true });
    });
    copyFileSync(bootstrap, join(folder, 'bootstrap'));
    copyFileSync(configuration, join(folder, 'tidegate.toml'));
    return Code.fromAsset(folder);
  }
}
