interface Options {
  readonly serverUrl?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly apiKey?: string;
  readonly image?: string;
  readonly memory?: number;
  readonly cpus?: number;
  /** Seconds; only words of an error. */
  readonly timeout?: number;
}

interface Lines {
  output(): Promise<string>;
  error(): Promise<string>;
}

export interface Execution extends Lines {
  readonly status: string;
  readonly language: string;
  hasError(): boolean;
}

export interface CommandExecution extends Lines {
  readonly command: string;
  readonly args: string[];
  readonly exitCode: number;
  readonly success: boolean;
}

declare class Sandbox {
  constructor(options?: Options);
  static create<T>(this: new (options?: Options) => T, options?: Options): Promise<T>;
  readonly isStarted: boolean;
  readonly serverUrl: string;
  readonly namespace: string;
  readonly name: string;
  readonly apiKey: string | undefined;
  readonly command: {
    run(command: string, args?: readonly string[], timeout?: number): Promise<CommandExecution>;
  };
  readonly metrics: {
    all(): Promise<Record<string, unknown>>;
    cpu(): Promise<number | null | undefined>;
    memory(): Promise<number | null | undefined>;
    disk(): Promise<number | null | undefined>;
    isRunning(): Promise<boolean>;
  };
  start(image?: string, memory?: number, cpus?: number, timeout?: number): Promise<void>;
  stop(): Promise<void>;
  run(code: string, options?: { timeout?: number }): Promise<Execution>;
}

export class PythonSandbox extends Sandbox {}
export class NodeSandbox extends Sandbox {}
