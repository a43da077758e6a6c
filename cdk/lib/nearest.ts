/** The known name that differs least from `name`, if it differs in at most two of five characters. Case does not matter. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const near = known
    .map((known) => ({ known, distance: distance(name.toLowerCase(), known.toLowerCase()) }))
    .filter(({ known, distance }) => distance * 5 <= known.length * 2)
    .sort((one, other) => one.distance - other.distance);
  return near[0]?.known;
}

/** How many characters are added, left out or replaced (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (const [i, character] of Array.from(one).entries()) {
    const next = [i + 1];
    for (const [j, wanted] of Array.from(other).entries()) {
      const replaced = (row[j] ?? 0) + (character === wanted ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
