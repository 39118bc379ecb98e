/** One page of sandboxes, and where the next one begins. */
import type { ListSandboxesQuery } from "../../api/sandboxes.js";
import { MsbError } from "../../errors.js";
import type { SandboxFilter, SandboxInfo, SandboxKey } from "../../sandbox/service.js";

const DEFAULT_LIMIT = 100;

export interface Page {
  readonly sandboxes: readonly SandboxInfo[];
  readonly nextCursor: string | null;
}

export function filterOf(query: ListSandboxesQuery, namespace: string | undefined): SandboxFilter {
  const labels = (query.label ?? []).map((text): [string, string] => {
    const equals = text.indexOf("=");
    return [text.slice(0, equals), text.slice(equals + 1)];
  });
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(query.state === undefined || query.state.length === 0 ? {} : { states: query.state }),
    ...(labels.length === 0 ? {} : { labels: Object.fromEntries(labels) }),
  };
}

/**
 * The cursor names the last sandbox of the page before, so pages neither repeat nor leave out what was there all the
 * time, whatever comes and goes. Throws MSB_ERR_INVALID_ARGUMENT.
 */
export function pageOf(
  all: readonly SandboxInfo[],
  { limit = DEFAULT_LIMIT, cursor }: Pick<ListSandboxesQuery, "limit" | "cursor">,
): Page {
  const after = cursor === undefined ? null : readCursor(cursor);
  const rest = all
    .toSorted(compareKeys)
    .filter((info) => after === null || compareKeys(info, after) > 0);
  const sandboxes = rest.slice(0, limit);
  const last = sandboxes.at(-1);
  const isLast = last === undefined || rest.length === sandboxes.length;
  return { sandboxes, nextCursor: isLast ? null : writeCursor(last) };
}

function compareKeys(a: SandboxKey, b: SandboxKey): number {
  return compare(a.namespace, b.namespace) || compare(a.name, b.name);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function writeCursor({ namespace, name }: SandboxKey): string {
  return Buffer.from(`${namespace}/${name}`).toString("base64url");
}

function readCursor(cursor: string): SandboxKey {
  const [namespace, name, ...more] = Buffer.from(cursor, "base64url").toString("utf8").split("/");
  if (namespace && name && more.length === 0) return { namespace, name };
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    "The cursor is none that this server has given. Begin without one.",
  );
}
