/** The guest kernel's command line, the same on both drivers but for what the machine needs. */

/**
 * - `reboot=t` (triple fault) ends a QEMU microvm, `reboot=k` (keyboard controller) a libkrun one; the
 *   guest stops by a restart, because this kernel's power-off only halts.
 * - `panic=-1`: restart at once, so that a panic ends the VM.
 * - `rcu_expedited`: mounts and cgroups wait for all CPUs to have moved on; a guest has few, and nobody else to spare.
 * - `jent_mod_init`: the self-test of a source of randomness that this guest does not need, since the host gives it
 *   some; 50 ms of an emulated boot.
 * - `isEmulated`: a kernel with one CPU takes the lock prefixes out of 10,000 instructions, which mean nothing to the
 *   emulator, but it has to translate anew whatever code is written to; 200 ms.
 * - `tscKhz`: under software emulation the kernel's own calibration races with the emulator and may
 *   hang; it is told the rate instead.
 */
export function kernelCommandLine(opts: {
  reboot: "t" | "k";
  isEmulated?: boolean;
  tscKhz?: number | null;
}): string {
  const words = [
    ...["console=hvc0", "quiet", "panic=-1", `reboot=${opts.reboot}`, "rdinit=/msb-agent"],
    ...["rcupdate.rcu_expedited=1", "initcall_blacklist=jent_mod_init"],
  ];
  if (opts.isEmulated) words.push("noreplace-smp");
  if (opts.tscKhz != null) words.push(`tsc_early_khz=${opts.tscKhz}`, "tsc=reliable");
  return words.join(" ");
}
