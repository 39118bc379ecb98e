/** Which file a path leads to. */
import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";

/** Changes when another file takes the path's place, or it is written to. Throws what `stat` throws. */
export async function fileIdentity(path: string): Promise<string> {
  return identityOf(path, await stat(path));
}

/** The same for a file that was looked at. */
export function identityOf(
  path: string,
  { ino, size, mtimeMs }: Pick<Stats, "ino" | "size" | "mtimeMs">,
): string {
  return `${path} ${ino} ${size} ${mtimeMs}`;
}
