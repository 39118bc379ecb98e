/** The programs that kernels run, and how an interpreter is made to run them. */
import { readFile } from "node:fs/promises";
import type { Language } from "../run-types.js";

export interface KernelProgram {
  /** Names of the interpreter to try, the best first. */
  readonly candidates: readonly string[];
  /** Its arguments: a stub that reads the program's size and source from the control channel. */
  readonly args: readonly string[];
  readonly source: Buffer;
}

/** The program of a language, from the file beside this one. */
export async function kernelProgram(language: Language): Promise<KernelProgram> {
  const { file, candidates, args } = PROGRAMS[language];
  return { candidates, args, source: await readFile(new URL(file, import.meta.url)) };
}

// The program gets its own copy of the builtins, and the user's modules in the working directory don't get in its way.
const PYTHON_STUB = `
import os, sys
sys.version_info < (3, 8) and sys.exit("Python 3.8 or newer is needed, this is " + sys.version.split()[0])
fd = int(os.environ.pop("MSB_CONTROL_FD", "3"))
size = source = b""
while not size.endswith(b"\\n"): size += os.read(fd, 1) or sys.exit("the host is gone")
while len(source) < int(size): source += os.read(fd, int(size) - len(source)) or sys.exit("the host is gone")
sys.path[:1] == [""] and sys.path.pop(0)
exec(compile(source, "<kernel>", "exec"), {"__name__": "msb_kernel", "__builtins__": dict(vars(__builtins__)), "control_fd": fd})
`;

// The program gets a context of its own, whose Array, Promise and JSON the user's code does not share.
const NODE_STUB = `
const fs = require("fs"), vm = require("vm");
const fd = Number(process.env.MSB_CONTROL_FD || 3);
delete process.env.MSB_CONTROL_FD;
const read = (size) => {
  const data = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const got = fs.readSync(fd, data, at, size - at, null);
    if (got === 0) process.exit(1);
    at += got;
  }
  return data.toString();
};
let size = "";
while (!size.endsWith("\\n")) size += read(1);
const context = vm.createContext();
const start = vm.runInContext(read(Number(size)), context, { filename: "<kernel>" });
start({ fd, require, process, global: globalThis, context });
`;

const PROGRAMS = {
  python: {
    file: "kernel.py",
    candidates: ["python3", "python"],
    args: ["-c", PYTHON_STUB.trim()],
  },
  node: {
    file: "kernel.cjs",
    candidates: ["node", "nodejs"],
    // The parser that is part of Node.js is an internal module.
    args: ["--expose-internals", "-e", `{${NODE_STUB}}`],
  },
} satisfies Record<Language, { file: string; candidates: string[]; args: string[] }>;
