/**
 * Whether the functions would start with the configuration that is deployed. Their own program says it, so the synthesis refuses
 * what they would refuse, with the same message.
 */

import { spawnSync } from 'node:child_process';
import { Annotations } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { CONTRACT } from './contract';

/** A program that can be asked. */
export interface Program {
  readonly file: string;
  /** With which it checks the file that the variable `CONTRACT.configuration.variable` names. */
  readonly arguments: readonly string[];
}

/**
 * Throws if a program refuses the configuration, as it is with the variables that the functions have. Returns whether a program
 * could be asked: one that is built for another processor cannot.
 */
export function checkConfiguration(
  configuration: string,
  variables: Readonly<Record<string, string>>,
  programs: readonly Program[],
): boolean {
  for (const program of programs) {
    const { error, status, stderr } = spawnSync(program.file, program.arguments, {
      encoding: 'utf8',
      // Not this shell's variables: the functions have none of them.
      env: { ...variables, [CONTRACT.configuration.variable]: configuration },
      timeout: 60_000,
    });
    if (error !== undefined) continue;
    if (status === 0) return true;
    // Any other text comes from a program that cannot run here, or does not know the question.
    const refusal = /^(?:tidegate: )?((?:the )?configuration[ :][^]*)/.exec(stderr)?.[1];
    if (status === 1 && refusal !== undefined) {
      throw new Error(
        `${refusal.trimEnd()}\n(${configuration}, as ${program.file} reads it: if that program is older than the sources, ` +
          'build it again or delete it)',
      );
    }
  }
  return false;
}

export function warnOfUnchecked(scope: Construct): void {
  Annotations.of(scope).addWarningV2(
    'tidegate:configuration',
    'the configuration was not checked, because no program of Tidegate was found that runs here; the functions refuse to start ' +
      'with one that is wrong: run `cargo build` first, or check it by `tidegate config --check --deployed`',
  );
}
