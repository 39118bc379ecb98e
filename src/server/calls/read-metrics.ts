/** What sandboxes use, of one, of a namespace, or of all. */
import { isMsbError, MsbError } from "../../errors.js";
import type { SandboxMetrics, SandboxService } from "../../sandbox/service.js";
import { forEachBounded } from "../../util/bounded.js";
import { ANY_NAMESPACE } from "../auth/authenticator.js";

/** Guests that are asked at the same time. */
const MAX_ASKED = 8;

/**
 * Sorted by namespace and name. `name` null: every sandbox. Throws MSB_ERR_SANDBOX_NOT_FOUND for a namespace that was
 * never used and for a sandbox that is not in its namespace; in `*` it is merely in none.
 */
export async function readMetrics(
  sandboxes: SandboxService,
  namespace: string,
  name: string | null,
  signal: AbortSignal,
): Promise<readonly SandboxMetrics[]> {
  const isAll = namespace === ANY_NAMESPACE;
  if (!isAll && !sandboxes.hasNamespace(namespace)) {
    throw new MsbError(
      "MSB_ERR_SANDBOX_NOT_FOUND",
      `There is no namespace ${namespace}; it begins with its first sandbox.`,
      { details: { namespace } },
    );
  }
  if (!isAll && name !== null) return [await sandboxes.metrics({ namespace, name }, { signal })];
  const found = sandboxes
    .list(isAll ? {} : { namespace })
    .filter((info) => name === null || info.name === name);
  const all: (SandboxMetrics | undefined)[] = [];
  await forEachBounded(
    found.entries(),
    { limit: MAX_ASKED, signal, what: "Reading metrics" },
    async ([index, key], stop) => {
      all[index] = await sandboxes.metrics(key, { signal: stop }).catch((error: unknown) => {
        // Removed since it was listed.
        if (isMsbError(error, "MSB_ERR_SANDBOX_NOT_FOUND")) return undefined;
        throw error;
      });
    },
  );
  return all.filter((metrics) => metrics !== undefined);
}
