/** Settings: the option if given, else the MSB_* variable, else the default. */
import { isIP } from "node:net";
import { availableParallelism, totalmem } from "node:os";
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

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const SHUTDOWN_CHOICES = ["stop", "detach"] as const;
/** What becomes of running sandboxes when the server is stopped: they end with it, or wait for the next one. */
export type ShutdownChoice = (typeof SHUTDOWN_CHOICES)[number];

/** The options of a server; those that are not given come from the environment. */
export interface ServerOpts {
  /** MSB_HOST, default 127.0.0.1: an IP address, for names may change what they mean. */
  readonly host?: string;
  /** MSB_PORT, default 5555; 0 for any that is free. */
  readonly port?: number | string;
  /** MSB_DEV, default false: every request is allowed, keys are not asked for. */
  readonly dev?: boolean;
  /** MSB_KEY_FILE: the key that access keys are signed with, in place of the one in MSB_HOME. */
  readonly keyFile?: string;
  /** MSB_ALLOWED_HOSTS (separated by commas): names of this server besides its address. */
  readonly allowedHosts?: readonly string[];
  /** MSB_CORS_ORIGINS (separated by commas): where browsers may call from; `*` for anywhere. */
  readonly corsOrigins?: readonly string[];
  /** MSB_MAX_BODY_MIB, default 16: of one request. */
  readonly maxBodyMiB?: number | string;
  /** MSB_MAX_OUTPUT_MIB, default 32: of one command or run. */
  readonly maxOutputMiB?: number | string;
  /** MSB_MAX_SANDBOXES, default 64: that run at the same time. */
  readonly maxSandboxes?: number | string;
  /** MSB_MEMORY_BUDGET_MIB, default 80 % of what this host has: of all running sandboxes together. */
  readonly memoryBudgetMiB?: number | string;
  /** MSB_VCPU_BUDGET, default 8 for each core: of all running sandboxes together. */
  readonly vcpuBudget?: number | string;
  /** MSB_MAX_CONCURRENT_BOOTS, default one for each core, at least 2. */
  readonly maxConcurrentBoots?: number | string;
  /** MSB_MAX_TEMPLATES, default 4: guests that are kept for quick starts without KVM; 0 for none. */
  readonly maxTemplates?: number | string;
  /** MSB_WARM_GUESTS, default 0: guests that run ahead under libkrun, for each of the two kinds started last. */
  readonly warmGuests?: number | string;
  /** MSB_LEASE_MS, default 10 minutes: how long running sandboxes wait for a new server when theirs was killed. */
  readonly leaseMs?: number | string;
  /** MSB_BOOT_TIMEOUT_MS, default 60 s: from power-on to ready. */
  readonly bootTimeoutMs?: number | string;
  /** MSB_IDLE_TIMEOUT_MS, default 0 (never): of sandboxes that do not say it themselves. */
  readonly idleTimeoutMs?: number | string;
  /** MSB_MAX_LIFETIME_MS, default 0 (no limit): of sandboxes that do not say it themselves. */
  readonly maxLifetimeMs?: number | string;
  /** MSB_LOG_LEVEL, default `info`. */
  readonly logLevel?: LogLevel;
  /** MSB_SHUTDOWN, default `stop`. */
  readonly shutdown?: ShutdownChoice;
  /** See HypervisorConfig. */
  readonly hypervisor?: HypervisorChoice;
}

/** All that a server is told; `http` is the ServerConfig of server/deps.ts, `budget` the Budget of sandbox/service.ts. */
export interface ServerSettings {
  readonly host: string;
  readonly port: number;
  readonly isDev: boolean;
  /** null: the one in MSB_HOME. */
  readonly keyFile: string | null;
  readonly http: {
    readonly maxBodyBytes: number;
    readonly maxOutputBytes: number;
    readonly allowedHosts: readonly string[];
    readonly corsOrigins: readonly string[];
  };
  readonly budget: {
    readonly sandboxes: number;
    readonly memoryMiB: number;
    readonly vcpus: number;
  };
  readonly maxConcurrentBoots: number;
  readonly maxTemplates: number;
  readonly warmGuests: number;
  readonly leaseMs: number;
  readonly bootTimeoutMs: number;
  /** 0 for never. */
  readonly idleTimeoutMs: number;
  /** 0 for no limit. */
  readonly maxLifetimeMs: number;
  readonly logLevel: LogLevel;
  readonly shutdown: ShutdownChoice;
  readonly hypervisor: HypervisorConfig;
}

/** MSB_BOOT_TIMEOUT_MS, default 60 s: from power-on to ready. Throws MSB_ERR_INVALID_ARGUMENT. */
export function bootTimeoutMs(
  opts: Pick<ServerOpts, "bootTimeoutMs"> = {},
  env: Env = process.env,
): number {
  const range = { fallback: 60_000, min: 1_000, max: MAX_TIMER_MS };
  return wholeNumber("bootTimeoutMs", "MSB_BOOT_TIMEOUT_MS", range, { ...opts }, env);
}

const MIB = 1024 ** 2;
const MAX_PORT = 65_535;
/** Bodies and outputs are kept in memory, as strings at last. */
const MAX_HTTP_MIB = 256;
/** The longest that a timer of Node.js can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const DEFAULT_MAX_SANDBOXES = 64;
const MEMORY_SHARE = 0.8;
const VCPUS_PER_CORE = 8;

/** Throws MSB_ERR_INVALID_ARGUMENT naming the option and the variable. */
export function serverConfig(opts: ServerOpts = {}, env: Env = process.env): ServerSettings {
  const given: Readonly<Record<string, unknown>> = { ...opts };
  const number = (
    option: keyof ServerOpts & string,
    variable: string,
    fallback: number,
    min: number,
    max: number,
  ): number => wholeNumber(option, variable, { fallback, min, max }, given, env);
  const timer = (
    option: keyof ServerOpts & string,
    variable: string,
    fallback: number,
    min = 0,
  ): number => number(option, variable, fallback, min, MAX_TIMER_MS);
  const cores = availableParallelism();
  return Object.freeze({
    host: ipAddress(opts, env),
    port: number("port", "MSB_PORT", 5_555, 0, MAX_PORT),
    isDev: flag("dev", "MSB_DEV", opts, env),
    keyFile: opts.keyFile ?? (env["MSB_KEY_FILE"] || null),
    http: Object.freeze({
      maxBodyBytes: MIB * number("maxBodyMiB", "MSB_MAX_BODY_MIB", 16, 1, MAX_HTTP_MIB),
      maxOutputBytes: MIB * number("maxOutputMiB", "MSB_MAX_OUTPUT_MIB", 32, 1, MAX_HTTP_MIB),
      allowedHosts: list("allowedHosts", "MSB_ALLOWED_HOSTS", HOST_NAME, opts, env),
      corsOrigins: list("corsOrigins", "MSB_CORS_ORIGINS", ORIGIN, opts, env),
    }),
    budget: Object.freeze({
      sandboxes: number("maxSandboxes", "MSB_MAX_SANDBOXES", DEFAULT_MAX_SANDBOXES, 1, 100_000),
      memoryMiB: number(
        "memoryBudgetMiB",
        "MSB_MEMORY_BUDGET_MIB",
        Math.max(1, Math.floor((hostMemoryBytes() * MEMORY_SHARE) / MIB)),
        1,
        Number.MAX_SAFE_INTEGER,
      ),
      vcpus: number("vcpuBudget", "MSB_VCPU_BUDGET", VCPUS_PER_CORE * cores, 1, 1_000_000),
    }),
    maxConcurrentBoots: number(
      "maxConcurrentBoots",
      "MSB_MAX_CONCURRENT_BOOTS",
      Math.max(2, cores),
      1,
      10_000,
    ),
    maxTemplates: number("maxTemplates", "MSB_MAX_TEMPLATES", 4, 0, 1_000),
    warmGuests: number("warmGuests", "MSB_WARM_GUESTS", 0, 0, 1_000),
    leaseMs: timer("leaseMs", "MSB_LEASE_MS", 600_000, 1_000),
    bootTimeoutMs: bootTimeoutMs(opts, env),
    idleTimeoutMs: timer("idleTimeoutMs", "MSB_IDLE_TIMEOUT_MS", 0),
    maxLifetimeMs: timer("maxLifetimeMs", "MSB_MAX_LIFETIME_MS", 0),
    logLevel: oneOf("logLevel", "MSB_LOG_LEVEL", LOG_LEVELS, "info", given, env),
    shutdown: oneOf("shutdown", "MSB_SHUTDOWN", SHUTDOWN_CHOICES, "stop", given, env),
    hypervisor: hypervisorConfig(
      opts.hypervisor === undefined ? {} : { hypervisor: opts.hypervisor },
      env,
    ),
  });
}

/** What this process may use: a container has less than its host. */
function hostMemoryBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

function ipAddress(opts: ServerOpts, env: Env): string {
  const value = opts.host ?? (env["MSB_HOST"] || "127.0.0.1");
  const host = value.replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) !== 0) return host;
  const advice =
    value.toLowerCase() === "localhost"
      ? "use 127.0.0.1, or ::1 for IPv6"
      : "use an IP address: 127.0.0.1 for this machine alone, 0.0.0.0 for all of its addresses";
  throw invalid("host", "MSB_HOST", value, advice);
}

interface Pattern {
  readonly shape: RegExp;
  readonly advice: string;
}

const HOST_NAME: Pattern = {
  shape: /^(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:\d{1,5})?$/i,
  advice: "use a host or host:port, such as sandboxes.example.com",
};
const ORIGIN: Pattern = {
  shape: /^(\*|https?:\/\/[^/\s]+)$/i,
  advice: "use an origin, such as https://app.example.com, or * for any",
};

/** An option given as a list, a variable as words between commas; the same word counts once. */
function list(
  option: "allowedHosts" | "corsOrigins",
  variable: string,
  pattern: Pattern,
  opts: ServerOpts,
  env: Env,
): readonly string[] {
  const given = opts[option] ?? (env[variable] ?? "").split(",");
  const words = given.map((word) => word.trim()).filter((word) => word !== "");
  for (const word of words) {
    if (!pattern.shape.test(word)) throw invalid(option, variable, word, pattern.advice);
  }
  return Object.freeze([...new Set(words)]);
}

function flag(option: "dev", variable: string, opts: ServerOpts, env: Env): boolean {
  const given = opts[option];
  if (given !== undefined) return given;
  const value = (env[variable] ?? "").toLowerCase();
  if (["", "0", "false", "no"].includes(value)) return false;
  if (["1", "true", "yes"].includes(value)) return true;
  throw invalid(option, variable, value, "use true or false");
}

/** Takes digits only: `0x10`, `1e3` and an empty option are no numbers anybody meant. */
function wholeNumber(
  option: string,
  variable: string,
  range: { readonly fallback: number; readonly min: number; readonly max: number },
  opts: Readonly<Record<string, unknown>>,
  env: Env,
): number {
  const { fallback, min, max } = range;
  const value = opts[option] ?? (env[variable] || fallback);
  const number = /^\d{1,16}$/.test(String(value)) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  const upTo = max === Number.MAX_SAFE_INTEGER ? "" : ` to ${max}`;
  throw invalid(option, variable, value, `use a whole number from ${min}${upTo}`);
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
