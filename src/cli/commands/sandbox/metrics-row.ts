/** What a sandbox uses, as a row. */
import type { MetricsView } from "../../../api/sandboxes.js";
import { size, span } from "../../format.js";
import { sandboxName } from "../../sandbox-names.js";

export const METRICS_HEAD = [
  "NAME",
  "CPU",
  "MEMORY",
  "DISK",
  "GUEST MEMORY",
  "PROCESSES",
  "LOAD",
  "UP",
] as const;

const MIB = 1024 ** 2;

export function metricsRow(view: MetricsView): string[] {
  const { guest } = view;
  return [
    sandboxName(view),
    view.cpuPercent === null ? "-" : `${view.cpuPercent.toFixed(1)} %`,
    megabytes(view.memoryMiB),
    size(view.diskBytes),
    guest === null
      ? "-"
      : `${megabytes(guest.memoryUsedMiB)} of ${megabytes(guest.memoryTotalMiB)}`,
    guest === null ? "-" : String(guest.processes),
    guest === null ? "-" : guest.load1.toFixed(2),
    guest === null ? "-" : span(guest.uptimeMs),
  ];
}

function megabytes(mib: number | null): string {
  return size(mib === null ? null : mib * MIB);
}
