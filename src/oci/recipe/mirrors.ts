/** Where Debian packages come from: what the user set, else what the host's own apt uses, else mmdebstrap's choice. */
import { findExecutable, runTool } from "../../util/process.js";

/** A question to apt's caches, answered at once. */
const APT_TIMEOUT_MS = 30_000;

/**
 * Lines of sources.list for `setting` (MSB_DEBIAN_MIRROR): either such lines themselves, one a line or separated
 * by `;`, or the address of one mirror, which then serves the suite and its updates.
 */
export function mirrorsOf(setting: string, suite: string): string[] {
  const entries = setting.split(/[;\n]/).map((entry) => entry.trim());
  return entries.filter(Boolean).flatMap((entry) => {
    if (entry.startsWith("deb ")) return [entry];
    return [`deb ${entry} ${suite} main`, `deb ${entry} ${suite}-updates main`];
  });
}

/**
 * Lines for the Debian archives of `suite` that the host's apt has; empty when it has none or there is no apt.
 * Other vendors' archives do not count, nor do addresses with a password: the lines become part of the image.
 */
export async function hostMirrors(suite: string, signal?: AbortSignal): Promise<string[]> {
  const aptGet = await findExecutable("apt-get");
  if (aptGet === undefined) return [];
  const format = "$(ORIGIN)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)";
  const { exitCode, stdout } = await runTool(
    aptGet,
    ["indextargets", "--format", format, "Created-By: Packages"],
    { timeoutMs: APT_TIMEOUT_MS, ...(signal !== undefined && { signal }) },
  );
  return exitCode === 0 ? parseIndexTargets(stdout, suite) : [];
}

/** Of `apt-get indextargets` in the format above; its lines say `Debian` only after an `apt-get update`. */
export function parseIndexTargets(text: string, suite: string): string[] {
  const releases = new Set([suite, `${suite}-updates`, `${suite}-security`]);
  const lines = new Set<string>();
  for (const line of text.split("\n")) {
    const [origin, release = "", component, uri = ""] = line.split("|");
    if (origin !== "Debian" || component !== "main" || !releases.has(release)) continue;
    if (!/^https?:\/\/[^\s@]+$/.test(uri)) continue;
    lines.add(`deb ${uri} ${release} main`);
  }
  // Without the suite itself the rest would be of no use.
  const hasSuite = [...lines].some((line) => line.endsWith(` ${suite} main`));
  return hasSuite ? [...lines] : [];
}
