/** What users' programs rely on when they are compiled; tsc checks this file. */
import { describe, expectTypeOf, it } from "vitest";
import type { AbortError, BaseSandbox, MsbError } from "../../../src/index.js";
import {
  type CommandEvent,
  type CommandExecution,
  type Execution,
  isMsbError,
  NodeSandbox,
  PythonSandbox,
  type RichResult,
  type RunEvent,
  Sandbox,
  type SandboxInfo,
  type SandboxMetrics,
} from "../../../src/index.js";

describe("types", () => {
  it("of factories are those of their class", () => {
    expectTypeOf(PythonSandbox.create).returns.resolves.toEqualTypeOf<BaseSandbox>();
    const python = () => PythonSandbox.create();
    const node = () => NodeSandbox.connect("box");
    const any = () =>
      Sandbox.create({ image: "alpine", cpus: 1.5, signal: new AbortController().signal });
    expectTypeOf(python).returns.resolves.toEqualTypeOf<PythonSandbox>();
    expectTypeOf(node).returns.resolves.toEqualTypeOf<NodeSandbox>();
    expectTypeOf(any).returns.resolves.toEqualTypeOf<Sandbox>();
    expectTypeOf<Sandbox>().toExtend<AsyncDisposable>();
  });

  it("of results are what can be read of them", () => {
    expectTypeOf<PythonSandbox["run"]>().returns.resolves.toEqualTypeOf<Execution>();
    expectTypeOf<Execution["output"]>().returns.resolves.toBeString();
    expectTypeOf<Execution["hasError"]>().returns.toBeBoolean();
    expectTypeOf<Execution["status"]>().toEqualTypeOf<"success" | "error">();
    expectTypeOf<Execution["results"]>().toEqualTypeOf<readonly RichResult[]>();
    expectTypeOf<Execution["text"]>().toEqualTypeOf<string | null>();
    expectTypeOf<Sandbox["command"]["run"]>().returns.resolves.toEqualTypeOf<CommandExecution>();
    expectTypeOf<CommandExecution["exitCode"]>().toBeNumber();
    expectTypeOf<CommandExecution["bytes"]>().returns.resolves.toEqualTypeOf<Uint8Array>();
    expectTypeOf<Sandbox["metrics"]["cpu"]>().returns.resolves.toEqualTypeOf<number | null>();
    expectTypeOf<keyof SandboxMetrics>().toEqualTypeOf<
      "name" | "namespace" | "running" | "cpuUsage" | "memoryUsage" | "diskUsage" | "guest"
    >();
    expectTypeOf(Sandbox.list).returns.toExtend<AsyncIterable<SandboxInfo>>();
    expectTypeOf<SandboxInfo["name"]>().toBeString();
  });

  it("of events are told apart by their type", () => {
    type End = Extract<RunEvent, { type: "end" }>;
    expectTypeOf<End["reason"]>().toExtend<string>();
    type Output = Extract<CommandEvent, { type: "stdout" | "stderr" }>;
    expectTypeOf<Output["bytes"]>().toEqualTypeOf<Uint8Array>();
  });

  it("of errors are one class with its families", () => {
    expectTypeOf<AbortError>().toExtend<MsbError>();
    const error: unknown = null;
    if (isMsbError(error, "MSB_ERR_EXEC_TIMEOUT")) expectTypeOf(error).toEqualTypeOf<MsbError>();
    // @ts-expect-error a code that is not in the table
    isMsbError(error, "MSB_ERR_NOTHING");
  });

  it("of arguments refuse what would be a mistake", () => {
    const sandbox = new PythonSandbox({ name: "box" });
    // Only compiled: nothing here is started.
    const mistakes = async (): Promise<void> => {
      // @ts-expect-error seconds are a number
      await sandbox.run("1", { timeout: "5s" });
      // @ts-expect-error arguments are a list
      await sandbox.command.run("ls", "-la");
      // @ts-expect-error the language is the class's
      await sandbox.run("1", { language: "node" });
      // @ts-expect-error such an option is not known
      await PythonSandbox.create({ memoryMiB: 5 });
      // @ts-expect-error it has to be said which one
      await Sandbox.connect();
    };
    expectTypeOf(mistakes).returns.resolves.toBeVoid();
  });
});
