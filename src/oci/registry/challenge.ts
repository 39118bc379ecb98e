/** The WWW-Authenticate header (RFC 9110, section 11): one or several challenges, in one or several lines. */

export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case; of a name that comes twice the first counts. */
  readonly params: ReadonlyMap<string, string>;
}

const MAX_HEADER_LENGTH = 16 * 1024;
const MAX_CHALLENGES = 16;

/** One thing of the grammar from `lastIndex` on; sticky, so that each is linear. */
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"((?:[^"\\]|\\[^])*)"/y;
/** The token68 form of credentials that some schemes have instead of parameters. */
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;
const SPACE = /[ \t]*/y;
const COMMAS = /[ \t,]*/y;

/**
 * The challenges that can be read. Never throws: what is garbage from some point on is left out from there, and
 * a header without any challenge gives none.
 */
export function parseChallenges(lines: readonly string[]): Challenge[] {
  const challenges: Challenge[] = [];
  for (const line of lines) {
    if (line.length > MAX_HEADER_LENGTH) continue;
    for (const challenge of challengesOf(line)) {
      if (challenges.length >= MAX_CHALLENGES) return challenges;
      challenges.push(challenge);
    }
  }
  return challenges;
}

/** A challenge as it would be written; `parseChallenges` reads it as the same. */
export function formatChallenge({ scheme, params }: Challenge): string {
  const pairs = [...params].map(
    ([name, value]) => `${name}="${value.replaceAll(/[\\"]/g, String.raw`\$&`)}"`,
  );
  return [scheme, pairs.join(", ")].filter((part) => part !== "").join(" ");
}

function* challengesOf(line: string): Generator<Challenge, void, undefined> {
  const reader = new Reader(line);
  reader.take(COMMAS);
  for (;;) {
    const scheme = reader.take(TOKEN);
    if (scheme === undefined) return;
    const params = new Map<string, string>();
    const isWhole = readParams(reader, params);
    yield { scheme: scheme.toLowerCase(), params };
    if (!isWhole) return;
  }
}

/** False when nothing after it can be read. */
function readParams(reader: Reader, params: Map<string, string>): boolean {
  reader.take(SPACE);
  if (reader.take(TOKEN68) !== undefined) {
    reader.take(COMMAS);
    return true;
  }
  for (;;) {
    reader.take(COMMAS);
    const start = reader.position;
    const name = reader.take(TOKEN);
    if (name === undefined) return false;
    reader.take(SPACE);
    if (!reader.takeEquals()) {
      // Not a parameter but the next scheme.
      reader.position = start;
      return true;
    }
    reader.take(SPACE);
    const value = reader.takeQuoted() ?? reader.take(TOKEN);
    if (value === undefined) return false;
    const key = name.toLowerCase();
    if (!params.has(key)) params.set(key, value);
  }
}

class Reader {
  position = 0;

  constructor(readonly text: string) {}

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.position += found.length;
    return found;
  }

  takeEquals(): boolean {
    if (this.text[this.position] !== "=") return false;
    this.position += 1;
    return true;
  }

  takeQuoted(): string | undefined {
    return this.take(QUOTED)
      ?.slice(1, -1)
      .replaceAll(/\\([^])/g, "$1");
  }
}
