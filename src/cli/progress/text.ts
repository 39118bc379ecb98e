/** Words that bars and lines share. */
import type { Progress } from "../../util/progress.js";
import { oneLine, size } from "../format.js";

const MAX_LABEL = 60;
const MAX_NOTE = 200;

export function labelOf(progress: Progress): string {
  return oneLine(progress.label, MAX_LABEL);
}

export function noteOf(progress: Progress): string | undefined {
  return progress.note === undefined ? undefined : oneLine(progress.note, MAX_NOTE);
}

export function isFinal({ state }: Progress): boolean {
  return state === "done" || state === "exists";
}

/** 0 to 1; null while nobody knows the total. */
export function fractionOf({ doneBytes, totalBytes }: Progress): number | null {
  if (totalBytes === null || totalBytes <= 0) return null;
  return Math.min(1, Math.max(0, doneBytes / totalBytes));
}

/** How a task ended: `done, 12.3 MB`. */
export function endOf(progress: Progress): string {
  if (progress.state === "exists") return "already there";
  const bytes = progress.totalBytes ?? progress.doneBytes;
  const note = noteOf(progress);
  return `done${bytes > 0 ? `, ${size(bytes)}` : ""}${note === undefined ? "" : ` (${note})`}`;
}
