/** Tools that come from the system's package manager, and how to install them. */
import { MsbError } from "../errors.js";
import { findExecutable, runTool } from "../util/process.js";

const INSTALL_TIMEOUT_MS = 10 * 60_000;

export type SystemTool = "qemu" | "mkfs.ext4" | "libcap-ng";

interface ToolPackages {
  readonly apt: string | Readonly<Record<string, string>>;
  /** null where the tool is not needed. */
  readonly brew: string | null;
}

/** libcap-ng is a library: libkrun on Linux is linked with it. */
const PACKAGES: Readonly<Record<SystemTool, ToolPackages>> = {
  qemu: { apt: { x64: "qemu-system-x86", arm64: "qemu-system-arm" }, brew: "qemu" },
  "mkfs.ext4": { apt: "e2fsprogs", brew: "e2fsprogs" },
  "libcap-ng": { apt: "libcap-ng0", brew: null },
};

interface Host {
  readonly platform?: string;
  readonly arch?: string;
}

/** The packages with these tools, by the names of this platform's package manager. */
export function packagesOf(tools: readonly SystemTool[], host: Host = {}): string[] {
  const { platform = process.platform, arch = process.arch } = host;
  return tools.flatMap((tool) => {
    const { apt, brew } = PACKAGES[tool];
    const name = platform === "darwin" ? brew : typeof apt === "string" ? apt : apt[arch];
    return name == null ? [] : [name];
  });
}

/** The one command for people, such as `sudo apt-get install -y qemu-system-x86`. */
export function installCommand(tools: readonly SystemTool[], host: Host = {}): string {
  const names = packagesOf(tools, host).join(" ");
  if ((host.platform ?? process.platform) === "darwin") return `brew install ${names}`;
  return `sudo apt-get install -y ${names}`;
}

/**
 * Installs the tools' packages with apt-get. Does it only for root on a system with apt-get; else, and when
 * apt-get fails, throws MSB_ERR_TOOL_MISSING with the command to run.
 */
export async function installMissingTools(
  tools: readonly SystemTool[],
  opts: { signal?: AbortSignal } = {},
): Promise<void> {
  if (tools.length === 0) return;
  const aptGet = await findExecutable("apt-get");
  if (process.getuid?.() !== 0 || aptGet === undefined) {
    throw missing(tools, "they can be installed for you only as root on a system with apt-get");
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const run = (args: readonly string[]) =>
    runTool(aptGet, args, {
      env,
      timeoutMs: INSTALL_TIMEOUT_MS,
      ...(opts.signal ? { signal: opts.signal } : {}),
    });
  const install = ["install", "-y", "-q", "--no-install-recommends", ...packagesOf(tools)];
  let result = await run(install);
  if (result.exitCode !== 0) {
    // The list of packages may never have been fetched, or be too old.
    await run(["update", "-q"]);
    result = await run(install);
  }
  if (result.exitCode !== 0) throw missing(tools, `apt-get failed: ${result.stderr.trim()}`);
}

function missing(tools: readonly SystemTool[], why: string): MsbError {
  const command = installCommand(tools);
  return new MsbError(
    "MSB_ERR_TOOL_MISSING",
    `These are missing: ${tools.join(", ")} (${why}). Run: ${command}`,
    { details: { tools, command } },
  );
}
