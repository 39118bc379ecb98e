/** What the first boot on this host showed about libkrun, kept on disk. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { release } from "node:os";
import { writeFileAtomic } from "../util/atomic-file.js";

export interface Verdict {
  readonly isUsable: boolean;
  /** Words for the log and for `doctor`. */
  readonly reason: string;
  /** ISO 8601. */
  readonly at: string;
}

interface VerdictFile {
  readonly version: 1;
  readonly key: string;
  readonly verdict: Verdict;
}

/** Changes when the host was restarted, or when the library or the guest kernel is another. */
export async function verdictKey(libraryId: string, kernelId: string): Promise<string> {
  const bootId = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => release());
  return createHash("sha256").update([bootId.trim(), libraryId, kernelId].join("\n")).digest("hex");
}

/** The verdict kept under `key`, if the file is there, whole, and about the same host state. */
export async function readVerdict(file: string, key: string): Promise<Verdict | undefined> {
  let kept: VerdictFile;
  try {
    kept = JSON.parse(await readFile(file, "utf8")) as VerdictFile;
  } catch {
    return undefined;
  }
  const isOurs =
    kept?.version === 1 && kept.key === key && typeof kept.verdict?.isUsable === "boolean";
  return isOurs ? kept.verdict : undefined;
}

export async function writeVerdict(file: string, key: string, verdict: Verdict): Promise<void> {
  const content: VerdictFile = { version: 1, key, verdict };
  await writeFileAtomic(file, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
}
