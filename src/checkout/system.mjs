/** System packages: installed when somebody allows it, else named in one command. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { createInterface } from "node:readline/promises";
import { installCommand, installPackages, missingPackages } from "./debian.mjs";

/** What building the native parts and running microVMs takes, by Debian's names. */
const DEBIAN_PACKAGES = [
  "python3",
  "make",
  "g++",
  process.arch === "arm64" ? "qemu-system-arm" : "qemu-system-x86",
  "e2fsprogs",
  "libcap-ng0",
];
/** What an image is made of Debian packages with; `uidmap` lets one do it who is not root. */
export const IMAGE_PACKAGES = [
  "mmdebstrap",
  "debian-archive-keyring",
  "gpg",
  ...(process.getuid() === 0 ? [] : ["uidmap"]),
];

/** A formula of Homebrew to where its program is below Homebrew's prefix. */
const FORMULAE = {
  qemu: `bin/qemu-system-${process.arch === "arm64" ? "aarch64" : "x86_64"}`,
  e2fsprogs: "opt/e2fsprogs/sbin/mkfs.ext4",
};

/** In a few words what was done. `mayInstall` is how one is allowed: `yes`, or `ask`. */
export function bringSystemPackages(children, mayInstall, names = DEBIAN_PACKAGES) {
  if (process.platform === "darwin") return bringFormulae(children, mayInstall);
  return bringDebianPackages(children, mayInstall, names);
}

async function bringDebianPackages(children, mayInstall, names) {
  const missing = missingPackages(names);
  if (missing.length === 0) return "already there";
  if (!existsSync("/usr/bin/apt-get")) {
    throw new Error(
      `there is no apt-get here. Install what your system calls these Debian packages, and run this again: ` +
        missing.join(", "),
    );
  }
  const isRoot = process.getuid() === 0;
  if (!isRoot) {
    const command = installCommand(missing);
    if (!existsSync("/usr/bin/sudo")) {
      throw new Error(`there is no sudo here. As root, run: ${command.replace(/^sudo /, "")}`);
    }
    await allow(children, mayInstall, command);
  }
  const run = (command, args) => (isRoot ? runAsRoot : runBySudo)(children, command, args);
  await installPackages(missing, isRoot ? [] : ["sudo"], run);
  return `installed ${missing.join(", ")}`;
}

/** apt-get is to end in its own time, and dpkg is not to be disturbed. */
async function runAsRoot(children, command, args) {
  console.log(`      ${command} ${args.join(" ")}`);
  const opts = { signals: "leader", graceMs: Infinity };
  const { code, output } = await children.runQuietly(command, args, opts);
  if (code !== 0) console.log(output.trimEnd());
  return code;
}

/**
 * Signals come from the terminal, where sudo also asks for the password. It may give the program a terminal of its own;
 * then how that ended is all there is to know of a Ctrl-C.
 */
async function runBySudo(children, command, args) {
  const code = await children.run(command, args, { signals: "nobody", graceMs: Infinity });
  const isInterrupted = code === "SIGINT" || code === 128 + constants.signals.SIGINT;
  if (isInterrupted && !children.signal.aborted) children.stop("SIGINT");
  children.signal.throwIfAborted();
  return code;
}

async function bringFormulae(children, mayInstall) {
  if (spawnSync("xcode-select", ["-p"]).status !== 0) {
    throw new Error("there is no C++ compiler. Run: xcode-select --install");
  }
  const prefix = ["/opt/homebrew", "/usr/local"].find((path) => existsSync(`${path}/bin/brew`));
  const missing = Object.entries(FORMULAE)
    .filter(([, program]) => prefix === undefined || !existsSync(`${prefix}/${program}`))
    .map(([formula]) => formula);
  if (missing.length === 0) return "already there";
  const command = `brew install ${missing.join(" ")}`;
  if (prefix === undefined)
    throw new Error(`Homebrew is missing: see brew.sh, then run: ${command}`);
  await allow(children, mayInstall, command);
  const code = await children.run(`${prefix}/bin/brew`, ["install", ...missing]);
  if (code !== 0) throw new Error(`this failed (${code}): ${command}`);
  return `installed ${missing.join(", ")}`;
}

/** Throws unless somebody agrees to the command. */
async function allow(children, mayInstall, command) {
  if (mayInstall === "yes") return;
  if (!process.stdin.isTTY) {
    throw new Error(
      `packages are missing and there is no terminal to ask on. Run: ${command}\n` +
        "or let it be done: npm run quickstart -- --yes",
    );
  }
  const questions = createInterface({ input: process.stdin, output: process.stdout });
  // In its raw mode the terminal sends no signal.
  questions.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  try {
    const question = `      Run "${command}"? [Y/n] `;
    const answer = await questions.question(question, { signal: children.signal }).catch(() => "n");
    children.signal.throwIfAborted();
    if (!/^(y(es)?)?$/i.test(answer.trim())) {
      throw new Error(`packages are missing. Run this yourself, then start again: ${command}`);
    }
  } finally {
    questions.close();
  }
}
