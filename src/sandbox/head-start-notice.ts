/** What the server's log hears of head starts: always of which kind of sandbox. */
import type { TemplateSpec } from "./head-start.js";
import type { OnNotice } from "./notice.js";

export function tellOfKind(
  onNotice: OnNotice,
  kind: "info" | "warning",
  message: string,
  { imageDisk, cpus, memoryMiB, diskMiB }: TemplateSpec,
  facts: Readonly<Record<string, unknown>>,
): void {
  const shape = { imageDisk, cpus, memoryMiB, diskMiB };
  onNotice({ kind, message, details: { shape, ...facts } });
}
