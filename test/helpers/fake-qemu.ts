/** QEMU's monitor in memory: a small server of its protocol on a unix socket, which misbehaves on demand. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { type VmFiles, vmFiles } from "../../src/hypervisor/vm-folder.js";
import { tempDir } from "./temp-dir.js";

export interface FakeCommand {
  readonly execute: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** What QEMU returns, an error to tell, or undefined for no answer. */
type Answer = (command: FakeCommand) => Record<string, unknown> | Error | undefined;

const GREETING = { QMP: { version: { qemu: { major: 8, minor: 0, micro: 0 } }, capabilities: [] } };

export class FakeQemu {
  readonly commands: FakeCommand[] = [];
  readonly #answers = new Map<string, Answer>();
  readonly #sockets = new Set<Socket>();

  private constructor(
    readonly files: VmFiles,
    private readonly server: Server,
  ) {
    server.on("connection", (socket) => this.#serve(socket));
  }

  /** Ends with the test. */
  static async start(): Promise<FakeQemu> {
    const files = vmFiles(await tempDir());
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(files.monitorSocket, resolve));
    const qemu = new FakeQemu(files, server);
    onTestFinished(() => qemu.close());
    return qemu;
  }

  get names(): string[] {
    return this.commands.map(({ execute }) => execute);
  }

  get connections(): number {
    return this.#sockets.size;
  }

  on(command: string, answer: Answer): void {
    this.#answers.set(command, answer);
  }

  /** A save that works: `state` goes to where the host wants it. */
  saves(state: Buffer): void {
    this.on("migrate", ({ arguments: { uri } }) => {
      const socket = connect(String(uri).replace(/^unix:/, ""));
      socket.end(state, () => this.event("MIGRATION", { status: "completed" }));
      return {};
    });
  }

  event(event: string, data: Record<string, unknown>): void {
    this.raw(`${JSON.stringify({ timestamp: { seconds: 1 }, event, data })}\r\n`);
  }

  raw(text: string): void {
    for (const socket of this.#sockets) socket.write(text);
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.hangUp();
    this.server.close();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    socket.write(`${JSON.stringify(GREETING)}\r\n`);
    let rest = "";
    socket.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#take(JSON.parse(line) as FakeCommand);
    });
  }

  #take(command: FakeCommand): void {
    this.commands.push(command);
    const answer = (this.#answers.get(command.execute) ?? (() => ({})))(command);
    if (answer === undefined) return;
    const reply =
      answer instanceof Error
        ? { error: { class: "GenericError", desc: answer.message } }
        : { return: answer };
    this.raw(`${JSON.stringify(reply)}\r\n`);
  }
}
