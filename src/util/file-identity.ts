/** Which file a path leads to. */
import { stat } from "node:fs/promises";

/** Changes when another file takes the path's place, or it is written to. Throws what `stat` throws. */
export async function fileIdentity(path: string): Promise<string> {
  const { ino, size, mtimeMs } = await stat(path);
  return `${path} ${ino} ${size} ${mtimeMs}`;
}
