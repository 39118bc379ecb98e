/** Why a VM that should run does not: the one place that words it. */
import { isMsbError, MsbError } from "../errors.js";
import type { MicroVm, VmExit } from "./driver.js";

/** MSB_ERR_BOOT_FAILED when the VM never started, else MSB_ERR_VM_EXITED; with stage, errno and last words. */
export function vmExitError(vm: Pick<MicroVm, "id" | "driver" | "stages">, exit: VmExit): MsbError {
  const { failure } = exit;
  const stage =
    failure?.step ?? vm.stages.findLast(({ stage: name }) => name !== "exited")?.stage ?? "start";
  const how = exit.signal === null ? `with status ${exit.exitCode}` : `by signal ${exit.signal}`;
  const what = failure?.message ?? `it ended ${how} (${exit.reason}) after the stage ${stage}`;
  const shown = [exit.stderrTail, exit.consoleTail].filter((text) => text !== "").join("\n");
  return new MsbError(
    failure === undefined ? "MSB_ERR_VM_EXITED" : "MSB_ERR_BOOT_FAILED",
    `The microVM ${vm.id} (${vm.driver}) ${failure === undefined ? "is gone" : `failed at ${stage}`}: ${what}.` +
      (shown === "" ? " It left no output." : ` Its last words:\n${shown}`),
    { details: { id: vm.id, driver: vm.driver, stage, errno: failure?.errno ?? null, exit } },
  );
}

/**
 * An error of `vmExitError` for a guest kernel that ran into a fault of its own under QEMU. A kernel that lacks
 * something it was to be given, such as its root disk, panics with other words.
 */
export function isEmulatedKernelCrash(error: unknown): boolean {
  if (!isMsbError(error, "MSB_ERR_VM_EXITED") || error.details["driver"] !== "qemu") return false;
  const { consoleTail } = error.details["exit"] as VmExit;
  return consoleTail.includes("Kernel panic - not syncing: Fatal exception");
}
