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
import { type HomeOpts, KEY_FILE_MEANING, keyFileOption, pathOption } from "./options.js";

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
  readonly maxTemplates?: string;
  readonly warmGuests?: string;
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

/** What has an option and a variable. */
interface Setting {
  readonly flags: string;
  readonly variable: string;
  readonly meaning: string;
  /** As help shows it; none: it is off, or there are none. */
  readonly fallback?: string;
  readonly choices?: readonly string[];
  /** The option may be repeated; the variable has commas. */
  readonly isList?: true;
}

const SETTINGS: readonly Setting[] = [
  {
    flags: "--host <ip>",
    variable: "MSB_HOST",
    meaning: "listen on this address",
    fallback: "127.0.0.1",
  },
  {
    flags: "--port <number>",
    variable: "MSB_PORT",
    meaning: "listen on this port, 0 for any that is free",
    fallback: "5555",
  },
  { flags: "--dev", variable: "MSB_DEV", meaning: "development mode: ask nobody for a key" },
  {
    flags: "--hypervisor <name>",
    variable: "MSB_HYPERVISOR",
    meaning: "what runs the microVMs",
    fallback: "auto",
    choices: HYPERVISOR_CHOICES,
  },
  {
    flags: "--shutdown <what>",
    variable: "MSB_SHUTDOWN",
    meaning: "at its end sandboxes stop too, or wait for the next server",
    fallback: "stop",
    choices: SHUTDOWN_CHOICES,
  },
  {
    flags: "--allow-host <host>",
    variable: "MSB_ALLOWED_HOSTS",
    meaning: "also a name of this server",
    isList: true,
  },
  {
    flags: "--cors-origin <origin>",
    variable: "MSB_CORS_ORIGINS",
    meaning: "let web pages from there call; * for all",
    isList: true,
  },
  {
    flags: "--max-sandboxes <n>",
    variable: "MSB_MAX_SANDBOXES",
    meaning: "sandboxes that run at the same time",
    fallback: "64",
  },
  {
    flags: "--memory-budget-mib <n>",
    variable: "MSB_MEMORY_BUDGET_MIB",
    meaning: "memory of all running sandboxes",
    fallback: "80 % of this machine's",
  },
  {
    flags: "--vcpu-budget <n>",
    variable: "MSB_VCPU_BUDGET",
    meaning: "virtual CPUs of all running sandboxes",
    fallback: "8 for each core",
  },
  {
    flags: "--max-concurrent-boots <n>",
    variable: "MSB_MAX_CONCURRENT_BOOTS",
    meaning: "sandboxes that start at the same time",
    fallback: "one for each core, 2 at least",
  },
  {
    flags: "--max-templates <n>",
    variable: "MSB_MAX_TEMPLATES",
    meaning: "started guests that are kept for quick starts without KVM; 0 for none",
    fallback: "4",
  },
  {
    flags: "--warm-guests <n>",
    variable: "MSB_WARM_GUESTS",
    meaning:
      "guests that run ahead under libkrun, for each of the two kinds of sandboxes started last",
    fallback: "0",
  },
  {
    flags: "--max-body-mib <n>",
    variable: "MSB_MAX_BODY_MIB",
    meaning: "largest body of one request",
    fallback: "16",
  },
  {
    flags: "--max-output-mib <n>",
    variable: "MSB_MAX_OUTPUT_MIB",
    meaning: "largest output of one command or run",
    fallback: "32",
  },
  {
    flags: "--idle-timeout-ms <ms>",
    variable: "MSB_IDLE_TIMEOUT_MS",
    meaning: "stop a sandbox that nobody has used for so long; 0 for never",
    fallback: "0",
  },
  {
    flags: "--max-lifetime-ms <ms>",
    variable: "MSB_MAX_LIFETIME_MS",
    meaning: "stop a sandbox so long after its start; 0 for never",
    fallback: "0",
  },
  {
    flags: "--boot-timeout-ms <ms>",
    variable: "MSB_BOOT_TIMEOUT_MS",
    meaning: "give up on a microVM that is not ready by then",
    fallback: "60000",
  },
  {
    flags: "--lease-ms <ms>",
    variable: "MSB_LEASE_MS",
    meaning: "how long sandboxes wait for a new server when theirs was killed",
    fallback: "600000",
  },
  {
    flags: "--log-level <level>",
    variable: "MSB_LOG_LEVEL",
    meaning: "what is logged",
    fallback: "info",
    choices: LOG_LEVELS,
  },
];

/** Names and meanings, for the help of the whole program. */
export const SERVER_VARIABLES: readonly (readonly [string, string])[] = [
  ...SETTINGS.map(({ variable, meaning, fallback, isList }): [string, string] => [
    variable,
    meaning +
      (isList ? ", separated by commas" : "") +
      (fallback === undefined ? "" : ` (${fallback})`),
  ]),
  ["MSB_KEY_FILE", KEY_FILE_MEANING],
];

export function addStartOptions(command: CliCommand): CliCommand {
  return [
    new Option("-d, --detach", "serve in the background; the log goes to MSB_HOME/server.log"),
    ...SETTINGS.map(settingOption),
    pathOption(),
    keyFileOption(),
    new Option("-k, --key <key>", "refused: other users can see it; use --key-file"),
    new Option("-r, --reset-key", "make a new key first: access keys issued before are void"),
    new Option("--json-logs", "log in JSON also to a terminal"),
    new Option("--as-daemon").hideHelp(),
  ].reduce<CliCommand>((all, option) => all.addOption(option), command);
}

function settingOption(setting: Setting): Option {
  const { flags, variable, meaning, fallback, choices, isList } = setting;
  const repeated = isList ? "; may be repeated" : "";
  const where = fallback === undefined ? variable : `${variable}; ${fallback}`;
  const option = new Option(flags, `${meaning}${repeated} (${where})`);
  if (isList) option.argParser(collect);
  return choices === undefined ? option : option.choices(choices);
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
    maxTemplates: opts.maxTemplates,
    warmGuests: opts.warmGuests,
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
