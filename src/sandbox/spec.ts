/** What a sandbox is made from: checks and defaults of what a user asks for. */
import { MsbError } from "../errors.js";
import type { SandboxSpec, SandboxSpecOpts } from "./service.js";

export const DEFAULT_MEMORY_MIB = 1024;
export const DEFAULT_CPUS = 1;
export const DEFAULT_DISK_MIB = 4096;

/** Less does not boot a distribution. */
const MIN_MEMORY_MIB = 64;
const MAX_MEMORY_MIB = 1024 ** 2;
/** What a u8 holds on the wire. */
const MAX_CPUS = 255;
const MIN_DISK_MIB = 16;
const MAX_DISK_MIB = 16 * 1024 ** 2;
const MAX_IMAGE_LENGTH = 1024;
const MAX_ENV_COUNT = 1024;
/** An agent request has 64 KiB at most, and the arguments of commands share it with the image's own variables. */
const MAX_ENV_BYTES = 32 * 1024;
const MAX_PATH_BYTES = 4095;
const MAX_USER_LENGTH = 256;
const MAX_LABELS = 64;
const MAX_LABEL_NAME_BYTES = 128;
const MAX_LABEL_VALUE_BYTES = 1024;
/** A hundred years. */
const MAX_LIMIT_MS = 100 * 365 * 24 * 3600 * 1000;

export type SpecLimits = Pick<SandboxSpec, "idleTimeoutMs" | "maxLifetimeMs">;

/** Every default filled in. Throws MSB_ERR_INVALID_ARGUMENT that names the option. */
export function resolveSpec(opts: SandboxSpecOpts, limits: SpecLimits): SandboxSpec {
  return {
    image: checkedImage(opts.image),
    memoryMiB: whole(
      "memoryMiB",
      opts.memoryMiB,
      DEFAULT_MEMORY_MIB,
      MIN_MEMORY_MIB,
      MAX_MEMORY_MIB,
    ),
    cpus: whole("cpus", opts.cpus, DEFAULT_CPUS, 1, MAX_CPUS),
    diskMiB: whole("diskMiB", opts.diskMiB, DEFAULT_DISK_MIB, MIN_DISK_MIB, MAX_DISK_MIB),
    env: checkedEnv("env", opts.env ?? []),
    workdir: checkedWorkdir(opts.workdir ?? null),
    user: checkedUser(opts.user ?? null),
    labels: checkedLabels(opts.labels ?? {}),
    idleTimeoutMs: limit("idleTimeoutMs", opts, limits),
    maxLifetimeMs: limit("maxLifetimeMs", opts, limits),
  };
}

/** Entries of an environment. Throws MSB_ERR_INVALID_ARGUMENT. */
export function checkedEnv(option: string, env: readonly string[]): readonly string[] {
  if (!Array.isArray(env) || env.length > MAX_ENV_COUNT) {
    throw invalid(option, env, `use a list of at most ${MAX_ENV_COUNT} entries`);
  }
  let bytes = 0;
  for (const entry of env as readonly unknown[]) {
    if (typeof entry !== "string" || entry.indexOf("=") < 1 || entry.includes("\0")) {
      throw invalid(option, entry, "write each entry as NAME=value, without a zero byte");
    }
    bytes += Buffer.byteLength(entry);
  }
  if (bytes > MAX_ENV_BYTES) {
    throw invalid(option, `${bytes} bytes`, `use at most ${MAX_ENV_BYTES} bytes in all`);
  }
  return [...env];
}

/** The error for an option of a spec; `advice` completes the sentence. */
export function invalid(option: string, value: unknown, advice: string): MsbError {
  const shown = JSON.stringify(value)?.slice(0, 100) ?? String(value);
  return new MsbError("MSB_ERR_INVALID_ARGUMENT", `${option} cannot be ${shown}: ${advice}.`, {
    details: { option, value: shown },
  });
}

function whole(
  option: string,
  value: number | undefined,
  fallback: number,
  min: number,
  max: number,
): number {
  const number = value ?? fallback;
  if (Number.isSafeInteger(number) && number >= min && number <= max) return number;
  throw invalid(option, number, `use a whole number from ${min} to ${max}`);
}

function limit(option: keyof SpecLimits, opts: SandboxSpecOpts, limits: SpecLimits): number {
  return whole(option, opts[option], limits[option], 0, MAX_LIMIT_MS);
}

function checkedImage(image: string): string {
  const isGood = typeof image === "string" && image !== "" && image.length <= MAX_IMAGE_LENGTH;
  if (!isGood) throw invalid("image", image, "name an image, such as python:3.12");
  return image;
}

/** Throws MSB_ERR_INVALID_ARGUMENT. */
export function checkedWorkdir(workdir: string | null): string | null {
  if (workdir === null) return null;
  const isGood =
    typeof workdir === "string" &&
    workdir.startsWith("/") &&
    !workdir.includes("\0") &&
    Buffer.byteLength(workdir) <= MAX_PATH_BYTES;
  if (!isGood) throw invalid("workdir", workdir, "use an absolute path of the guest");
  return workdir;
}

/** Throws MSB_ERR_INVALID_ARGUMENT. */
export function checkedUser(user: string | null): string | null {
  if (user === null) return null;
  const isGood =
    typeof user === "string" &&
    user.length <= MAX_USER_LENGTH &&
    !user.includes("\0") &&
    /^[^\s:/]+(?::[^\s:/]+)?$/.test(user);
  if (!isGood) throw invalid("user", user, "use user or user:group, by name or number");
  return user;
}

function checkedLabels(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) {
    throw invalid("labels", `${entries.length} labels`, `use at most ${MAX_LABELS}`);
  }
  for (const [name, value] of entries) {
    if (!/^[\w][\w./-]*$/.test(name) || name.length > MAX_LABEL_NAME_BYTES) {
      const advice = "names begin with a letter, digit or _ and go on with those or . / -";
      throw invalid("labels", name, `${advice}, at most ${MAX_LABEL_NAME_BYTES}`);
    }
    if (typeof value !== "string" || Buffer.byteLength(value) > MAX_LABEL_VALUE_BYTES) {
      throw invalid(
        `labels.${name}`,
        value,
        `use a text of at most ${MAX_LABEL_VALUE_BYTES} bytes`,
      );
    }
  }
  return Object.fromEntries(entries);
}
