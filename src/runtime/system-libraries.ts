/** Libraries that the system's package manager or the user installed. */
import { access, constants, realpath } from "node:fs/promises";
import { join } from "node:path";
import { findExecutable, runTool } from "../util/process.js";
import type { ComponentName } from "./components.js";

const LDCONFIG_TIMEOUT_MS = 5_000;

const FILE_NAMES: Readonly<Record<string, Readonly<Record<ComponentName, readonly string[]>>>> = {
  linux: { libkrun: ["libkrun.so.1"], libkrunfw: ["libkrunfw.so.5"] },
  darwin: {
    libkrun: ["libkrun.1.dylib", "libkrun.dylib"],
    libkrunfw: ["libkrunfw.5.dylib", "libkrunfw.dylib"],
  },
};

const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  linux: [
    "/usr/local/lib64",
    "/usr/local/lib",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
  ],
  darwin: ["/opt/homebrew/lib", "/usr/local/lib"],
};

/** The real path of a system library, or undefined. */
export async function findSystemLibrary(
  name: ComponentName,
  platform: string = process.platform,
): Promise<string | undefined> {
  const fileNames = FILE_NAMES[platform]?.[name] ?? [];
  const candidates = (FOLDERS[platform] ?? []).flatMap((folder) =>
    fileNames.map((fileName) => join(folder, fileName)),
  );
  for (const path of candidates) {
    if (await isReadable(path)) return realpath(path);
  }
  for (const path of platform === "linux" ? await fromLinkerCache(fileNames) : []) {
    if (await isReadable(path)) return realpath(path);
  }
  return undefined;
}

/** Is a library of this name there, for others to be loaded with? Asked on Linux only; else nothing needs one. */
export async function hasSystemFile(fileName: string): Promise<boolean> {
  if (process.platform !== "linux") return true;
  for (const folder of [...FOLDERS["linux"]!, "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu"]) {
    if (await isReadable(join(folder, fileName))) return true;
  }
  return (await fromLinkerCache([fileName])).length > 0;
}

async function fromLinkerCache(fileNames: readonly string[]): Promise<string[]> {
  const ldconfig = await findExecutable("ldconfig");
  if (ldconfig === undefined) return [];
  const result = await runTool(ldconfig, ["-p"], { timeoutMs: LDCONFIG_TIMEOUT_MS }).catch(
    () => undefined,
  );
  return parseLinkerCache(result?.stdout ?? "", fileNames);
}

/** Paths in the output of `ldconfig -p`: lines like `libx.so.1 (libc6,x86-64) => /usr/lib/libx.so.1`. */
export function parseLinkerCache(output: string, fileNames: readonly string[]): string[] {
  return output.split("\n").flatMap((line) => {
    const match = /^\s*(\S+) \(.*\) => (\/.+)$/.exec(line);
    return match !== null && fileNames.includes(match[1]!) ? [match[2]!] : [];
  });
}

async function isReadable(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
