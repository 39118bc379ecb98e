/** What was typed at a prompt, kept for the next time: one line each, the last first. */
import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "../../util/atomic-file.js";

export const MAX_HISTORY_LINES = 1_000;

/** Empty when there is none. */
export async function readHistory(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").filter(Boolean).slice(0, MAX_HISTORY_LINES);
}

/** For its owner only. That it cannot be kept is no reason to fail when all else is done. */
export async function writeHistory(path: string, lines: readonly string[]): Promise<void> {
  const kept = lines.slice(0, MAX_HISTORY_LINES).map((line) => `${line}\n`);
  await writeFileAtomic(path, kept.join(""), { mode: 0o600 }).catch(() => {});
}
