/** Finds QEMU for this processor. */
import { access, constants } from "node:fs/promises";
import { messageOf, MsbError } from "../errors.js";
import { fileIdentity } from "../util/file-identity.js";
import { findExecutable, runTool } from "../util/process.js";
import { installCommand } from "./system-packages.js";

const VERSION_TIMEOUT_MS = 10_000;

const PROGRAMS: Readonly<Record<string, string>> = {
  x64: "qemu-system-x86_64",
  arm64: "qemu-system-aarch64",
};

export interface QemuInfo {
  readonly path: string;
  /** Such as `7.2.22`. */
  readonly version: string;
}

export interface FindQemuOpts {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly arch?: string;
}

/** By the identity of the program: its path may lead to another one tomorrow. */
const versions = new Map<string, string>();

/** MSB_QEMU_PATH, else PATH. Throws MSB_ERR_QEMU_MISSING with the command that installs it. */
export async function findQemu(opts: FindQemuOpts = {}): Promise<QemuInfo> {
  const env = opts.env ?? process.env;
  const arch = opts.arch ?? process.arch;
  const named = env["MSB_QEMU_PATH"];
  const program = PROGRAMS[arch];
  if (named) {
    await access(named, constants.X_OK).catch((error: unknown) => {
      throw missing(
        `MSB_QEMU_PATH names ${named}, which is no program (${messageOf(error)})`,
        arch,
        error,
      );
    });
    return { path: named, version: await versionOf(named, arch) };
  }
  const path = program && (await findExecutable(program, { env }));
  if (!path) {
    throw missing(`${program ?? `QEMU for ${arch}`} is not in PATH`, arch);
  }
  return { path, version: await versionOf(path, arch) };
}

async function versionOf(path: string, arch: string): Promise<string> {
  const identity = await fileIdentity(path).catch((error: unknown) => {
    throw missing(`${path} cannot be looked at (${messageOf(error)})`, arch, error);
  });
  const known = versions.get(identity);
  if (known !== undefined) return known;
  const result = await runTool(path, ["--version"], { timeoutMs: VERSION_TIMEOUT_MS });
  const version = /QEMU emulator version (\d+(?:\.\d+)+)/.exec(result.stdout)?.[1];
  if (version === undefined) throw missing(`${path} does not say that it is QEMU`, arch);
  versions.set(identity, version);
  return version;
}

function missing(what: string, arch: string, cause?: unknown): MsbError {
  const command = installCommand(["qemu"], { arch });
  return new MsbError(
    "MSB_ERR_QEMU_MISSING",
    `${what}. Run: ${command}, or let MSB_QEMU_PATH name a QEMU.`,
    { cause, details: { command, variable: "MSB_QEMU_PATH" } },
  );
}
