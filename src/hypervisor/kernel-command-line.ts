/** The guest kernel's command line, the same on both drivers but for what the machine needs. */

/**
 * - `reboot=t` (triple fault) ends a QEMU microvm, `reboot=k` (keyboard controller) a libkrun one; the
 *   guest stops by a restart, because this kernel's power-off only halts.
 * - `panic=-1`: restart at once, so that a panic ends the VM.
 * - `tscKhz`: under software emulation the kernel's own calibration races with the emulator and may
 *   hang; it is told the rate instead.
 */
export function kernelCommandLine(opts: { reboot: "t" | "k"; tscKhz?: number | null }): string {
  const words = ["console=hvc0", "quiet", "panic=-1", `reboot=${opts.reboot}`];
  if (opts.tscKhz != null) words.push(`tsc_early_khz=${opts.tscKhz}`, "tsc=reliable");
  words.push("root=/dev/vda", "rootfstype=erofs", "ro", "init=/msb-agent");
  return words.join(" ");
}
