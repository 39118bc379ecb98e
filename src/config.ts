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

export interface RecipeConfig {
  /** MSB_DEBIAN_MIRROR: the address of a mirror, or lines of sources.list separated by `;`; null: the host's. */
  readonly debianMirror: string | null;
}

/** Throws MSB_ERR_INVALID_ARGUMENT naming the option and the variable. */
export function recipeConfig(
  opts: { readonly debianMirror?: string } = {},
  env: Env = process.env,
): RecipeConfig {
  const value = opts.debianMirror ?? env["MSB_DEBIAN_MIRROR"] ?? "";
  const isUsable = value
    .split(/[;\n]/)
    .every((entry) => /^\s*(|deb\s.*|(https?|file|copy|ftp|mirror(\+\w+)?):\S*)\s*$/.test(entry));
  if (!isUsable) {
    throw invalid(
      "debianMirror",
      "MSB_DEBIAN_MIRROR",
      value,
      "give the address of a Debian mirror, or lines of sources.list that begin with deb, separated by ;",
    );
  }
  return Object.freeze({ debianMirror: value.trim() || null });
}

export const PULL_POLICIES = ["missing", "always", "never"] as const;
/** Whether an image is looked for in its registry: only when it is not here, always, or never. */
export type PullPolicy = (typeof PULL_POLICIES)[number];

export interface ImageConfigOpts {
  /** MSB_PULL_POLICY, default `missing`. */
  readonly pullPolicy: PullPolicy;
}

/** Throws MSB_ERR_INVALID_ARGUMENT naming the option and the variable. */
export function imageConfig(
  opts: { readonly pullPolicy?: PullPolicy | undefined } = {},
  env: Env = process.env,
): ImageConfigOpts {
  const pullPolicy = oneOf("pullPolicy", "MSB_PULL_POLICY", PULL_POLICIES, "missing", opts, env);
  return Object.freeze({ pullPolicy });
}

/** What a name without a tag stands for. */
export interface ImageAlias {
  /** The image of a recipe that was built here, taken if there is one; null for none. */
  readonly recipe: string | null;
  /** What is pulled else. */
  readonly remote: string;
}

const PYTHON: ImageAlias = {
  recipe: "msb-ts/python:latest",
  remote: "docker.io/library/python:latest",
};
const NODE: ImageAlias = { recipe: "msb-ts/node:latest", remote: "docker.io/library/node:latest" };

const IMAGE_ALIASES: ReadonlyMap<string, ImageAlias> = new Map([
  ["microsandbox/python", PYTHON],
  ["python", PYTHON],
  ["microsandbox/node", NODE],
  ["node", NODE],
]);

/**
 * The alias that `name` is, exactly as written: with a tag or a registry it is none. `imageAliases` of the settings
 * come first, and an alias of theirs is what they say and nothing else.
 */
export function imageAlias(
  name: string,
  settings: Readonly<Record<string, string>> = {},
): ImageAlias | undefined {
  const own = Object.hasOwn(settings, name) ? settings[name] : undefined;
  return own === undefined ? IMAGE_ALIASES.get(name) : { recipe: null, remote: own };
}

function oneOf<T extends string>(
  option: string,
  variable: string,
  known: readonly T[],
  fallback: T,
  opts: Readonly<Record<string, unknown>>,
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
