/** The options of `msb-ts server start`, and what they are to the server's configuration. */
import { type Command, Option } from "commander";
import {
  HYPERVISOR_CHOICES,
  type HypervisorChoice,
  LOG_LEVELS,
  type LogLevel,
  type ServerOpts,
  SHUTDOWN_CHOICES,
  type ShutdownChoice,
} from "../../../config.js";
import type { CliCommand } from "../../command.js";
import { collect, given } from "../image/options.js";
import { type HomeOpts, keyFileOption, pathOption } from "./options.js";

export interface StartOpts extends HomeOpts {
  readonly host?: string;
  readonly port?: string;
  readonly dev?: true;
  readonly detach?: true;
  readonly key?: string;
  readonly keyFile?: string;
  readonly resetKey?: true;
  readonly hypervisor?: HypervisorChoice;
  readonly shutdown?: ShutdownChoice;
  readonly allowHost?: readonly string[];
  readonly corsOrigin?: readonly string[];
  readonly maxSandboxes?: string;
  readonly memoryBudgetMib?: string;
  readonly vcpuBudget?: string;
  readonly maxConcurrentBoots?: string;
  readonly maxBodyMib?: string;
  readonly maxOutputMib?: string;
  readonly idleTimeoutMs?: string;
  readonly maxLifetimeMs?: string;
  readonly bootTimeoutMs?: string;
  readonly leaseMs?: string;
  readonly logLevel?: LogLevel;
  readonly jsonLogs?: true;
  /** This process was started by `--detach`. */
  readonly asDaemon?: true;
}

const choice = (flags: string, text: string, choices: readonly string[]): Option =>
  new Option(flags, text).choices(choices);

const list = (flags: string, text: string): Option => new Option(flags, text).argParser(collect);

export function addStartOptions(command: CliCommand): CliCommand {
  return [
    new Option("--host <ip>", "listen on this address (MSB_HOST; 127.0.0.1)"),
    new Option("--port <number>", "listen on this port, 0 for any that is free (MSB_PORT; 5555)"),
    new Option("-d, --detach", "serve in the background; the log goes to MSB_HOME/server.log"),
    new Option("--dev", "development mode: ask nobody for a key (MSB_DEV)"),
    pathOption(),
    keyFileOption(),
    new Option("-k, --key <key>", "refused: other users can see it; use --key-file"),
    new Option("-r, --reset-key", "make a new key first: access keys issued before are void"),
    choice(
      "--hypervisor <name>",
      "what runs the microVMs (MSB_HYPERVISOR; auto)",
      HYPERVISOR_CHOICES,
    ),
    choice(
      "--shutdown <what>",
      "what becomes of sandboxes when the server is stopped: they stop with it, or wait for the next one " +
        "(MSB_SHUTDOWN; stop)",
      SHUTDOWN_CHOICES,
    ),
    list("--allow-host <host>", "also a name of this server; may be repeated (MSB_ALLOWED_HOSTS)"),
    list(
      "--cors-origin <origin>",
      "let web pages from there call; may be repeated, * for all (MSB_CORS_ORIGINS)",
    ),
    new Option("--max-sandboxes <n>", "that run at the same time (MSB_MAX_SANDBOXES; 64)"),
    new Option(
      "--memory-budget-mib <n>",
      "of all running sandboxes (MSB_MEMORY_BUDGET_MIB; 80 % of this machine's)",
    ),
    new Option("--vcpu-budget <n>", "of all running sandboxes (MSB_VCPU_BUDGET; 8 for each core)"),
    new Option(
      "--max-concurrent-boots <n>",
      "sandboxes that start at the same time (MSB_MAX_CONCURRENT_BOOTS; one for each core)",
    ),
    new Option("--max-body-mib <n>", "of one request (MSB_MAX_BODY_MIB; 16)"),
    new Option("--max-output-mib <n>", "of one command or run (MSB_MAX_OUTPUT_MIB; 32)"),
    new Option(
      "--idle-timeout-ms <ms>",
      "stop a sandbox that nobody has used for so long; 0 for never (MSB_IDLE_TIMEOUT_MS; 0)",
    ),
    new Option(
      "--max-lifetime-ms <ms>",
      "stop a sandbox so long after its start; 0 for never (MSB_MAX_LIFETIME_MS; 0)",
    ),
    new Option(
      "--boot-timeout-ms <ms>",
      "give up on a microVM that is not ready by then (MSB_BOOT_TIMEOUT_MS; 60000)",
    ),
    new Option(
      "--lease-ms <ms>",
      "how long sandboxes wait for a new server when theirs was killed (MSB_LEASE_MS; 600000)",
    ),
    choice("--log-level <level>", "what is logged (MSB_LOG_LEVEL; info)", LOG_LEVELS),
    new Option("--json-logs", "log in JSON also to a terminal"),
    new Option("--as-daemon").hideHelp(),
  ].reduce<CliCommand>((all, option) => all.addOption(option), command);
}

export function serverOptsOf(opts: StartOpts): ServerOpts {
  return given({
    host: opts.host,
    port: opts.port,
    dev: opts.dev,
    keyFile: opts.keyFile,
    hypervisor: opts.hypervisor,
    shutdown: opts.shutdown,
    allowedHosts: opts.allowHost,
    corsOrigins: opts.corsOrigin,
    maxSandboxes: opts.maxSandboxes,
    memoryBudgetMiB: opts.memoryBudgetMib,
    vcpuBudget: opts.vcpuBudget,
    maxConcurrentBoots: opts.maxConcurrentBoots,
    maxBodyMiB: opts.maxBodyMib,
    maxOutputMiB: opts.maxOutputMib,
    idleTimeoutMs: opts.idleTimeoutMs,
    maxLifetimeMs: opts.maxLifetimeMs,
    bootTimeoutMs: opts.bootTimeoutMs,
    leaseMs: opts.leaseMs,
    logLevel: opts.logLevel,
  });
}

/** The words that call `server start` with the same options again; file names in them are absolute. */
export function wordsOf(command: Command): string[] {
  return command.options.flatMap((option) => {
    const name = option.attributeName();
    const value: unknown = command.getOptionValue(name);
    if (command.getOptionValueSource(name) !== "cli" || option.long == null) return [];
    if (value === true) return [option.long];
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    return values.map((one) => `${option.long}=${String(one)}`);
  });
}
