/** Settings: the option if given, else the MSB_* variable, else the default. */
import { MsbError } from "./errors.js";

export const HYPERVISOR_CHOICES = ["auto", "libkrun", "qemu"] as const;
export type HypervisorChoice = (typeof HYPERVISOR_CHOICES)[number];

export const QEMU_ACCELERATORS = ["tcg", "kvm", "hvf"] as const;
export type QemuAccelerator = (typeof QEMU_ACCELERATORS)[number];

export interface HypervisorConfig {
  /** MSB_HYPERVISOR, default `auto`. */
  readonly hypervisor: HypervisorChoice;
  /** MSB_QEMU_ACCELERATOR, default `tcg`: QEMU is for hosts where the others do not work. */
  readonly qemuAccelerator: QemuAccelerator;
  /** MSB_SIGN_OF_LIFE_MS: how long the first libkrun VM on a host may be silent, default 3000. */
  readonly signOfLifeMs: number;
}

export type Env = Readonly<Record<string, string | undefined>>;

/** Throws MSB_ERR_INVALID_ARGUMENT naming the option and the variable. */
export function hypervisorConfig(
  opts: Partial<HypervisorConfig> = {},
  env: Env = process.env,
): HypervisorConfig {
  return Object.freeze({
    hypervisor: oneOf("hypervisor", "MSB_HYPERVISOR", HYPERVISOR_CHOICES, "auto", opts, env),
    qemuAccelerator: oneOf(
      "qemuAccelerator",
      "MSB_QEMU_ACCELERATOR",
      QEMU_ACCELERATORS,
      "tcg",
      opts,
      env,
    ),
    signOfLifeMs: milliseconds("signOfLifeMs", "MSB_SIGN_OF_LIFE_MS", 3_000, opts, env),
  });
}

function oneOf<T extends string>(
  option: keyof HypervisorConfig,
  variable: string,
  known: readonly T[],
  fallback: T,
  opts: Partial<HypervisorConfig>,
  env: Env,
): T {
  const value = opts[option] ?? env[variable] ?? fallback;
  const found = known.find((name) => name === value);
  if (found === undefined) throw invalid(option, variable, value, `use ${known.join(", ")}`);
  return found;
}

function milliseconds(
  option: keyof HypervisorConfig,
  variable: string,
  fallback: number,
  opts: Partial<HypervisorConfig>,
  env: Env,
): number {
  const value = opts[option] ?? env[variable] ?? fallback;
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1) {
    throw invalid(option, variable, value, "use a whole number of milliseconds");
  }
  return number;
}

function invalid(option: string, variable: string, value: unknown, advice: string): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `${option} (${variable}) cannot be ${JSON.stringify(value)}: ${advice}.`,
    { details: { option, variable, value } },
  );
}
