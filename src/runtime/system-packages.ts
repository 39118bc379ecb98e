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

/** What would install packages here; undefined when nothing can. */
export async function findInstaller(): Promise<"root" | "sudo" | "brew" | undefined> {
  const has = async (name: string): Promise<boolean> => (await findExecutable(name)) !== undefined;
  if (process.platform === "darwin") return (await has("brew")) ? "brew" : undefined;
  if (!(await has("apt-get"))) return undefined;
  if (process.getuid?.() === 0) return "root";
  return (await has("sudo")) ? "sudo" : undefined;
}

/**
 * Installs the tools' packages: with apt-get, as root or by sudo, which may ask for a password at the terminal, and
 * with brew on macOS. Where that cannot be done, and when it fails, throws MSB_ERR_TOOL_MISSING with the command to run.
 */
export async function installMissingTools(
  tools: readonly SystemTool[],
  opts: { signal?: AbortSignal; mayAskPassword?: boolean } = {},
): Promise<void> {
  if (tools.length === 0) return;
  const installer = await findInstaller();
  if (installer === undefined) {
    throw missing(tools, "they can be installed for you only with apt-get, or brew on macOS");
  }
  const [program = "", ...words] = await installerWords(installer, opts.mayAskPassword === true);
  const run = (args: readonly string[]) =>
    runTool(program, [...words, ...args], {
      timeoutMs: INSTALL_TIMEOUT_MS,
      ...(opts.signal ? { signal: opts.signal } : {}),
    });
  const packages = packagesOf(tools);
  const install =
    installer === "brew"
      ? ["install", ...packages]
      : ["install", "-y", "-q", "--no-install-recommends", ...packages];
  let result = await run(install);
  if (result.exitCode !== 0 && installer !== "brew") {
    // The list of packages may never have been fetched, or be too old.
    await run(["update", "-q"]);
    result = await run(install);
  }
  if (result.exitCode !== 0) throw missing(tools, `it failed: ${result.stderr.trim()}`);
}

/** Settings go through env, for sudo passes none on. */
async function installerWords(
  installer: "root" | "sudo" | "brew",
  mayAskPassword: boolean,
): Promise<string[]> {
  if (installer === "brew") return [(await findExecutable("brew")) ?? "brew"];
  const aptGet = (await findExecutable("apt-get")) ?? "apt-get";
  const quiet = ["env", "DEBIAN_FRONTEND=noninteractive", aptGet];
  if (installer === "root") return quiet;
  return ["sudo", ...(mayAskPassword ? [] : ["-n"]), ...quiet];
}

function missing(tools: readonly SystemTool[], why: string): MsbError {
  const command = installCommand(tools);
  return new MsbError(
    "MSB_ERR_TOOL_MISSING",
    `These are missing: ${tools.join(", ")} (${why}). Run: ${command}`,
    { details: { tools, command } },
  );
}
