/** A JavaScript client of the microsandbox 0.2 time, written from the description of its behaviour, on fetch. */
import { randomUUID } from "node:crypto";

const DEFAULT_URL = "http://127.0.0.1:5555";

class Lines {
  constructor(lines) {
    this.lines = lines;
  }

  async output() {
    return this.text("stdout");
  }

  async error() {
    return this.text("stderr");
  }

  text(stream) {
    let text = "";
    for (const line of this.lines ?? []) {
      if (line?.stream === stream && "text" in line) text += `${line.text}\n`;
    }
    return text.trim();
  }
}

export class Execution extends Lines {
  constructor(result) {
    super(Array.isArray(result?.output) ? result.output : []);
    this.status = result?.status ?? "unknown";
    this.language = result?.language ?? "unknown";
  }

  hasError() {
    if (this.status === "error" || this.status === "exception") return true;
    return this.lines.some((line) => line?.stream === "stderr" && Boolean(line.text));
  }
}

export class CommandExecution extends Lines {
  constructor(result) {
    super(Array.isArray(result?.output) ? result.output : []);
    this.command = result?.command ?? "";
    this.args = result?.args ?? [];
    this.exitCode = result?.exit_code ?? -1;
    this.success = result?.success ?? false;
  }
}

class Command {
  constructor(sandbox) {
    this.sandbox = sandbox;
  }

  async run(command, args = [], timeout) {
    this.sandbox.requireStarted();
    const params = {
      sandbox: this.sandbox.name,
      namespace: this.sandbox.namespace,
      command,
      args,
      ...(timeout === undefined ? {} : { timeout }),
    };
    const failed = "Failed to execute command";
    try {
      return new CommandExecution(
        (await this.sandbox.call("sandbox.command.run", params, failed)).result,
      );
    } catch (error) {
      throw new Error(`${failed}: ${error.message}`, { cause: error });
    }
  }
}

class Metrics {
  constructor(sandbox) {
    this.sandbox = sandbox;
  }

  async all() {
    this.sandbox.requireStarted();
    const params = { namespace: this.sandbox.namespace, sandbox: this.sandbox.name };
    const failed = "Failed to get sandbox metrics";
    try {
      const { result } = await this.sandbox.call("sandbox.metrics.get", params, failed);
      return result.sandboxes?.[0] ?? {};
    } catch (error) {
      throw new Error(`${failed}: ${error.message}`, { cause: error });
    }
  }

  async cpu() {
    return (await this.all()).cpu_usage;
  }

  async memory() {
    return (await this.all()).memory_usage;
  }

  async disk() {
    return (await this.all()).disk_usage;
  }

  async isRunning() {
    return (await this.all()).running ?? false;
  }
}

class Sandbox {
  isStarted = false;

  constructor(options = {}) {
    this.serverUrl = options.serverUrl || process.env.MSB_SERVER_URL || DEFAULT_URL;
    this.namespace = options.namespace || "default";
    this.name = options.name || `sandbox-${randomUUID().slice(0, 8)}`;
    this.apiKey = options.apiKey || process.env.MSB_API_KEY;
    this.command = new Command(this);
    this.metrics = new Metrics(this);
  }

  static async create(options = {}) {
    const sandbox = new this(options);
    const { image, memory, cpus, timeout } = options;
    await sandbox.start(image, memory, cpus, timeout);
    return sandbox;
  }

  async start(image, memory = 512, cpus = 1, timeout = 180) {
    if (this.isStarted) return;
    const params = {
      namespace: this.namespace,
      sandbox: this.name,
      config: { image: image ?? this.defaultImage, memory, cpus: Math.round(cpus) },
    };
    let answer;
    try {
      answer = await this.call("sandbox.start", params, "Failed to start sandbox");
    } catch (error) {
      if (error.message.includes("timeout")) {
        throw new Error(`Timed out waiting for sandbox to start after ${timeout} seconds`, {
          cause: error,
        });
      }
      throw new Error(`Failed to communicate with Microsandbox server: ${error.message}`, {
        cause: error,
      });
    }
    if (typeof answer.result === "string" && answer.result.includes("timed out waiting")) {
      console.warn(`Sandbox start warning: ${answer.result}`);
    }
    this.isStarted = true;
  }

  async stop() {
    if (!this.isStarted) return;
    const params = { namespace: this.namespace, sandbox: this.name };
    try {
      await this.call("sandbox.stop", params, "Failed to stop sandbox");
    } catch (error) {
      throw new Error(`Failed to communicate with Microsandbox server: ${error.message}`, {
        cause: error,
      });
    }
    this.isStarted = false;
  }

  async run(code, options = {}) {
    this.requireStarted();
    const params = {
      sandbox: this.name,
      namespace: this.namespace,
      language: this.language,
      code,
      ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
    };
    const failed = "Failed to execute code";
    try {
      return new Execution((await this.call("sandbox.repl.run", params, failed)).result);
    } catch (error) {
      throw new Error(`${failed}: ${error.message}`, { cause: error });
    }
  }

  requireStarted() {
    if (!this.isStarted) throw new Error("Sandbox is not started. Call start() first.");
  }

  async call(method, params, failed) {
    const response = await fetch(`${this.serverUrl}/api/v1/rpc`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        ...(this.apiKey ? { Authorization: `Bearer ${this.apiKey}` } : {}),
      },
      body: JSON.stringify({ jsonrpc: "2.0", method, params, id: randomUUID() }),
    });
    if (!response.ok) throw new Error(`${failed}: ${await response.text()}`);
    const answer = await response.json();
    if ("error" in answer) throw new Error(`${failed}: ${answer.error.message}`);
    return answer;
  }
}

export class PythonSandbox extends Sandbox {
  defaultImage = "microsandbox/python";
  language = "python";
}

export class NodeSandbox extends Sandbox {
  defaultImage = "microsandbox/node";
  language = "nodejs";
}
