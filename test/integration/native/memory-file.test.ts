/** Files in memory without names, which nobody can change once they are sealed. */
import { type ChildProcess, spawn, spawnSync, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readlinkSync,
  readSync,
  writeSync,
} from "node:fs";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { native } from "./vmm-fixture.js";

const MIB = 1024 ** 2;
/** Maps the file that is its descriptor 3, writes there, and says what it reads or why it cannot. */
const MAP = `
import mmap, sys
kind, prot = getattr(mmap, sys.argv[1]), mmap.PROT_READ | (mmap.PROT_WRITE if sys.argv[2] == "rw" else 0)
try:
    memory = mmap.mmap(3, 0, flags=kind, prot=prot)
    if sys.argv[2] == "rw":
        memory[0:5] = b"other"
    print(memory[0:5].decode(), flush=True)
    if len(sys.argv) > 3:
        sys.stdin.read()
except OSError as error:
    print(type(error).__name__)
`;

/** Reads and writes as a child of this process, whose descriptor 3 the file is. */
function mapped(fd: number, kind: "MAP_SHARED" | "MAP_PRIVATE", access: "r" | "rw"): string {
  const stdio: StdioOptions = ["ignore", "pipe", "inherit", fd];
  return spawnSync("python3", ["-c", MAP, kind, access], {
    stdio,
    encoding: "utf8",
  }).stdout.trim();
}

function text(fd: number): string {
  const buffer = Buffer.alloc(5);
  readSync(fd, buffer, 0, 5, 0);
  return buffer.toString("latin1");
}

describe("a memory file", () => {
  let file: number;
  beforeEach(() => {
    file = native.createMemoryFile(4 * MIB);
    const fd = file;
    onTestFinished(() => closeSync(fd));
    writeSync(file, "first", 0);
  });

  test("has its size, no name, and takes what was written alone", () => {
    expect(fstatSync(file).size).toBe(4 * MIB);
    expect(fstatSync(file).blocks * 512).toBeLessThan(MIB);
    expect(readlinkSync(`/proc/self/fd/${file}`)).toMatch(/^\/memfd:.* \(deleted\)$/);
    expect(mapped(file, "MAP_SHARED", "rw")).toBe("other");
    expect(text(file)).toBe("other");
  });

  test("that is sealed keeps its content and its size, whoever has it", () => {
    native.sealMemoryFile(file);
    expect(() => writeSync(file, "x", 0)).toThrow(/EPERM/);
    expect(() => ftruncateSync(file, 1)).toThrow(/EPERM/);
    expect(() => ftruncateSync(file, 5 * MIB)).toThrow(/EPERM/);
    expect(mapped(file, "MAP_SHARED", "rw")).toBe("PermissionError");
    expect(text(file)).toBe("first");
    expect(fstatSync(file).size).toBe(4 * MIB);
  });

  test("that is sealed can be read by all, and privately written to by each", () => {
    native.sealMemoryFile(file);
    expect(mapped(file, "MAP_SHARED", "r")).toBe("first");
    expect(mapped(file, "MAP_PRIVATE", "rw")).toBe("other");
    expect(mapped(file, "MAP_PRIVATE", "rw")).toBe("other");
    expect(text(file)).toBe("first");
  });

  test("that is opened again to be written to cannot be changed either", () => {
    native.sealMemoryFile(file);
    const again = openSync(`/proc/self/fd/${file}`, "r+");
    onTestFinished(() => closeSync(again));
    expect(() => writeSync(again, "x", 0)).toThrow(/EPERM/);
    expect(() => ftruncateSync(again, 1)).toThrow(/EPERM/);
    expect(mapped(again, "MAP_SHARED", "rw")).toBe("PermissionError");
    expect(mapped(again, "MAP_PRIVATE", "rw")).toBe("other");
    // Nor can it be emptied as it is opened.
    expect(() => openSync(`/proc/self/fd/${file}`, "w")).toThrow(/EPERM/);
    expect(text(file)).toBe("first");
  });

  test("is not sealed while somebody may write to it, and then once", async () => {
    const holder: ChildProcess = spawn("python3", ["-c", MAP, "MAP_SHARED", "rw", "hold"], {
      stdio: ["pipe", "pipe", "inherit", file],
    });
    onTestFinished(() => void holder.kill("SIGKILL"));
    await once(holder.stdout!, "data");
    const busy = { code: "MSB_NATIVE", operation: "fcntl", errno: 16 };
    expect(() => native.sealMemoryFile(file)).toThrow(expect.objectContaining(busy));
    holder.stdin!.end();
    await once(holder, "close");
    native.sealMemoryFile(file);
    expect(() => native.sealMemoryFile(file)).toThrow(expect.objectContaining({ errno: 1 }));
  });

  test("is not inherited unless it is given", () => {
    const list = spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" }).stdout;
    expect(list).not.toContain("memfd");
  });
});

test("what is no size, or no file in memory, is refused", () => {
  for (const size of [-1, 2 ** 60, "1", undefined, NaN]) {
    expect(() => native.createMemoryFile(size as number)).toThrow(TypeError);
  }
  expect(() => native.sealMemoryFile("1" as never)).toThrow(TypeError);
  expect(() => native.sealMemoryFile(987_654)).toThrow(expect.objectContaining({ errno: 9 }));
  const null_ = openSync("/dev/null", "r+");
  onTestFinished(() => closeSync(null_));
  expect(() => native.sealMemoryFile(null_)).toThrow(expect.objectContaining({ errno: 22 }));
});
