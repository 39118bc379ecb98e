// The kernel program for Node.js 16 and newer: runs code in the main context and tells the host of values and ends.
//
// It is executed in a context of its own (see the stub in load.ts), so that what the user's code does to Array, Promise
// or Object.prototype does not reach it. What it needs of the main context comes as the argument of `start`.
//
// Contract: src/kernel/PROTOCOL.md. Standard library only.
"use strict";

const KERNEL_FRAME =
  /^\s+at .*(?:<kernel>|\bnode:[a-z_]+)|^\s+\.\.\. \d+ lines matching cause stack trace/;
const MAX_LINE_BYTES = 16 * 1024 * 1024 - 4096;
// How long output waits until the host has seen what was written elsewhere before: see Control.showOrder.
const MARK_WAIT_MS = 1000;
// Of waits for nothing, one after the other.
const MAX_VAIN_WAITS = 2;
// All waits of a run together, and the share of its time that may be added.
const MAX_MARK_WAITS_MS = 10_000;
const MARK_WAITS_SHARE = 0.5;
// So many writes of a run go out one by one; then those that follow each other fast are gathered, up to a size.
const WRITES_AT_ONCE = 128;
const GATHERED_BYTES = 32 * 1024;
const GATHER_MS = 10;
// How often it is looked for SIGINT while the code awaits something.
const POLL_MS = 20;
const FORMS = ["text", "html", "markdown", "svg", "png", "jpeg", "latex", "json"];
// States of the lock that guards the control channel, in shared[LOCK].
const FREE = 0;
const MAIN = 1;
const READER = 2;
// Cells of the memory shared with the reader's thread.
const LOCK = 0;
const ENDED_RUNS = 1;
const MARKED = 2;

/** Thrown by `process.exit` where nothing else can stop the code. */
const EXIT = Object.freeze({ __proto__: null, [Symbol.toStringTag]: "process.exit" });

/** Of the main context and of Node.js, taken before any code of the user's ran. */
let host;

// ---- Standard output and error -----------------------------------------------------------------------------------

/**
 * Writes to both streams in order. Few writes go out one by one, so that what is printed is seen at once and not lost
 * with the process; many that follow each other fast are gathered for a moment.
 */
class Outputs {
  /** Without `canGather` nothing is, for what children write could then come before it. */
  constructor(canGather) {
    this.isMuted = false;
    this.canGather = canGather;
    this.atOnce = WRITES_AT_ONCE;
    /** Of the descriptor that was written to last. */
    this.gathered = { fd: 1, pieces: [], size: 0 };
    this.shownAt = 0;
    this.timer = null;
    /** Keeps the order with what it is told; there from the start of the first run. */
    this.control = null;
    this.targets = { 1: duplicate(1), 2: duplicate(2) };
    this.methods = {};
    this.streams = { stdout: this.stream(1), stderr: this.stream(2) };
    this.consoleMethods = { ...host.global.console };
    this.restore();
  }

  /** What each run can rely on, whatever the one before did to what writes. */
  restore() {
    for (const [name, stream] of Object.entries(this.streams)) {
      const own = { value: stream, writable: true, enumerable: true, configurable: true };
      if (host.process[name] !== stream) Object.defineProperty(host.process, name, own);
      for (const [method, ours] of Object.entries(this.methods[stream.fd])) {
        if (stream[method] !== ours) stream[method] = ours;
      }
      for (const method of ["emit", "on", "once"]) {
        if (hasOwn.call(stream, method)) delete stream[method];
      }
    }
    const { console } = host.global;
    if (console === null || typeof console !== "object") return;
    for (const [name, method] of Object.entries(this.consoleMethods)) {
      if (console[name] !== method) console[name] = method;
    }
  }

  write(fd, data) {
    if (this.isMuted) return;
    if (this.gathered.fd !== fd) this.flush();
    this.control?.showOrder(fd);
    if (!this.canGather || this.atOnce > 0) {
      this.atOnce--;
      return this.writeNow(fd, data);
    }
    this.gather(fd, data);
  }

  writeNow(fd, data) {
    try {
      writeAll(this.targets[fd], data);
    } catch {
      // Nobody reads any more, or the user's code closed it.
    }
  }

  gather(fd, data) {
    const { gathered } = this;
    gathered.fd = fd;
    gathered.pieces.push(data);
    gathered.size += data.length;
    const isDue = host.now() - this.shownAt >= GATHER_MS;
    if (isDue || gathered.size >= GATHERED_BYTES) this.flush();
    else this.timer ??= host.setTimeout(() => this.flush(), GATHER_MS);
  }

  flush() {
    if (this.timer !== null) host.clearTimeout(this.timer);
    this.timer = null;
    const { fd, pieces, size } = this.gathered;
    if (size === 0) return;
    // Taken out first: when SIGINT stops the code in the middle of it, nothing is written twice.
    this.gathered = { fd, pieces: [], size: 0 };
    this.writeNow(fd, host.Buffer.concat(pieces, size));
    this.shownAt = host.now();
  }

  beginRun() {
    this.atOnce = WRITES_AT_ONCE;
  }

  /**
   * As process.stdout is: it can't be closed, and what is written to it is written when write() returns. Writable's own
   * write() would never write again once SIGINT stopped code in the middle of it.
   */
  stream(fd) {
    const stream = new host.Writable();
    const write = (chunk, encoding, done) => {
      const callback = typeof encoding === "function" ? encoding : done;
      const isText = typeof chunk === "string";
      if (!isText && !host.types.isUint8Array(chunk)) {
        throw new host.global.TypeError(
          "The chunk to write must be a string, a Buffer or a Uint8Array",
        );
      }
      const name = typeof encoding === "string" ? encoding : "utf8";
      // A copy: the user's code may change its bytes before they are out.
      this.write(fd, host.Buffer.from(chunk, name));
      if (typeof callback === "function") host.nextTick(callback);
      return true;
    };
    const end = (chunk, encoding, done) => {
      const callback = [chunk, encoding, done].find((argument) => typeof argument === "function");
      if (chunk != null && chunk !== callback) write(chunk, encoding);
      if (callback) host.nextTick(callback);
      return stream;
    };
    const leave = () => stream;
    this.methods[fd] = { write, end, destroy: leave, destroySoon: leave };
    return Object.assign(stream, { fd, _isStdio: true }, this.methods[fd]);
  }
}

/** A descriptor of its own, which `fs.closeSync(1)` does not close; `fd` itself where there can be none. */
function duplicate(fd) {
  try {
    return host.fs.openSync(`/proc/self/fd/${fd}`, "w");
  } catch {
    return fd;
  }
}

function writeAll(fd, data) {
  for (let at = 0; at < data.length;) {
    try {
      at += host.writeSync(fd, data, at, data.length - at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
      pause(1);
    }
  }
}

const hasOwn = Object.prototype.hasOwnProperty;

const sleeper = new Int32Array(new SharedArrayBuffer(4));

function pause(ms) {
  Atomics.wait(sleeper, 0, 0, ms);
}

// ---- The control channel -----------------------------------------------------------------------------------------

/** Runs in a thread of its own, so that the host gets answers while code runs. Nothing of this file is in its scope. */
function readControl(require) {
  const { parentPort, workerData } = require("worker_threads");
  const { fd, shared, names } = workerData;
  const fs = require("fs");
  const MAX_LINE = 8 * 1024 * 1024;
  let startedRuns = 0;
  let lastRun = null;
  let parts = [];
  let size = 0;

  const answer = (nonce) => {
    while (Atomics.compareExchange(shared, names.LOCK, names.FREE, names.READER) !== names.FREE) {
      Atomics.wait(shared, names.LOCK, names.MAIN, 10);
    }
    const running = startedRuns > Atomics.load(shared, names.ENDED_RUNS) ? lastRun : null;
    const data = Buffer.from(`\n${JSON.stringify({ type: "synced", nonce, running })}\n`);
    for (let at = 0; at < data.length;) {
      try {
        at += fs.writeSync(fd, data, at);
      } catch (error) {
        if (error.code !== "EAGAIN") break;
        Atomics.wait(shared, names.LOCK, names.READER, 1);
      }
    }
    Atomics.store(shared, names.LOCK, names.FREE);
    Atomics.notify(shared, names.LOCK);
  };
  const take = (line) => {
    let message;
    try {
      message = JSON.parse(line);
    } catch {
      return;
    }
    if (message?.type === "sync") {
      if (message.reseed === true) parentPort.postMessage("reseed");
      answer(String(message.nonce));
    }
    if (message?.type === "marked") {
      Atomics.store(shared, names.MARKED, message.number | 0);
      Atomics.notify(shared, names.MARKED);
    }
    if (message?.type !== "run" || typeof message.code !== "string") return;
    startedRuns++;
    lastRun = String(message.id);
    parentPort.postMessage([lastRun, message.code]);
  };
  const socket = new (require("net").Socket)({ fd, readable: true, writable: false });
  socket.on("data", (data) => {
    for (let from = 0; from < data.length;) {
      const end = data.indexOf(10, from);
      const part = data.subarray(from, end === -1 ? data.length : end);
      from += part.length + 1;
      size += part.length;
      if (size <= MAX_LINE) parts.push(part);
      if (end === -1) break;
      const line = Buffer.concat(parts).toString();
      if (size <= MAX_LINE && line !== "") take(line);
      parts = [];
      size = 0;
    }
  });
  parentPort.postMessage("listening");
  // The host is gone: so are we.
  const leave = () => process.kill(process.pid, "SIGKILL");
  socket.on("error", leave);
  socket.on("close", leave);
}

/**
 * For an interpreter that is a copy. `Math.random` draws its seed with its first call, which this program never makes;
 * a seed that V8 is told then comes first. OpenSSL's generators seed themselves anew after a leap of the clock.
 */
function reseed(compiler) {
  compiler.count = 0;
  host.setFlags(`--random-seed=${host.randomInt(1, 2 ** 31 - 1)}`);
}

class Control {
  constructor(fd, { onListening, onReseed, onRun }) {
    this.fd = fd;
    /** The descriptor that was written to last, if the host may not have seen that yet. */
    this.last = null;
    this.marks = 0;
    /** A message that waits for the one behind it. */
    this.held = "";
    this.beginRun();
    this.shared = new Int32Array(new SharedArrayBuffer(12));
    const names = { LOCK, ENDED_RUNS, MARKED, FREE, MAIN, READER };
    const workerData = { fd, shared: this.shared, names };
    const reader = new host.Worker(`(${readControl})(require)`, {
      eval: true,
      workerData,
      stdout: true,
      stderr: true,
      execArgv: [],
      trackUnmanagedFds: false,
    });
    reader.on("message", (message) => {
      if (message === "listening") onListening();
      else if (message === "reseed") onReseed();
      else onRun(...message);
    });
    reader.on("exit", () => host.kill(host.process.pid, "SIGKILL"));
  }

  beginRun() {
    // The host has seen how the run before ended.
    if (this.last === this.fd) this.last = null;
    this.vainWaits = 0;
    this.waitedMs = 0;
    this.beganAt = host.now();
  }

  /**
   * Before output goes to `fd`: waits until the host has seen what went to another descriptor, for that is the only
   * way to tell which of two descriptors was written first. A host that is slow, or waits itself, is not waited for
   * without end; what is lost then is the order alone.
   */
  showOrder(fd) {
    if (this.last === fd) return;
    this.flush();
    if (this.last !== null) this.awaitHost();
    this.last = fd;
  }

  awaitHost() {
    const startedAt = host.now();
    const allMs = MAX_MARK_WAITS_MS + MARK_WAITS_SHARE * (startedAt - this.beganAt);
    const leftMs = Math.min(MARK_WAIT_MS, allMs - this.waitedMs);
    if (this.hasSeenMark()) this.vainWaits = 0;
    if (leftMs <= 0 || this.vainWaits === MAX_VAIN_WAITS) return;
    const number = (this.marks = (this.marks + 1) | 0);
    this.send({ type: "mark", number });
    this.awaitMark(number, startedAt + leftMs);
    if (!this.hasSeenMark()) this.vainWaits++;
    this.waitedMs += host.now() - startedAt;
  }

  hasSeenMark() {
    return Atomics.load(this.shared, MARKED) === this.marks;
  }

  awaitMark(number, until) {
    for (;;) {
      const seen = Atomics.load(this.shared, MARKED);
      const leftMs = until - host.now();
      if (seen === number || leftMs <= 0) return;
      Atomics.wait(this.shared, MARKED, seen, leftMs);
    }
  }

  /** Goes out with the next message, or before anything else that is written. */
  hold(message) {
    this.last = this.fd;
    this.held += `\n${encoded(message)}\n`;
  }

  send(message) {
    this.write(`\n${encoded(message)}\n`, message.type === "end");
  }

  flush() {
    if (this.held !== "") this.write("", false);
  }

  write(line, isEnd) {
    const { shared } = this;
    this.last = this.fd;
    const lines = this.held + line;
    this.held = "";
    // Held by this thread already: code that was stopped while it sent. The line feed before ours ends what it began.
    while (Atomics.compareExchange(shared, LOCK, FREE, MAIN) === READER) {
      Atomics.wait(shared, LOCK, READER, 10);
    }
    try {
      writeAll(this.fd, host.Buffer.from(lines));
    } catch {
      // The user's code closed it.
    }
    if (isEnd) Atomics.add(shared, ENDED_RUNS, 1);
    Atomics.store(shared, LOCK, FREE);
    Atomics.notify(shared, LOCK);
  }
}

/** A message as one line that is not too long: the largest forms of a result are left out until it fits. */
function encoded(message) {
  const line = JSON.stringify(message);
  const size = host.Buffer.byteLength(line);
  if (size <= MAX_LINE_BYTES) return line;
  if (message.type === "error") {
    const { name, value, traceback } = message.error;
    const short = { name, value: value.slice(0, 65536), traceback: traceback.slice(0, 50) };
    short.traceback = short.traceback.map((text) => text.slice(0, 65536));
    return JSON.stringify({ ...message, error: short });
  }
  const { omitted = {}, isValue, ...forms } = message.result;
  const sizeOf = (form) => host.Buffer.byteLength(JSON.stringify(forms[form]));
  const [largest] = Object.keys(forms).sort((a, b) => sizeOf(b) - sizeOf(a));
  if (largest === undefined) return "";
  omitted[largest] = sizeOf(largest);
  delete forms[largest];
  return encoded({ ...message, result: { isValue, ...forms, omitted } });
}

// ---- Interrupts --------------------------------------------------------------------------------------------------

/**
 * SIGINT goes to the thread that Node.js has for `breakOnSigint`, all the time: it stops the code in a region (see
 * Runner) and is kept for `take()` otherwise. Listeners for SIGINT would lose a signal, or give it to a later region,
 * where that thread ends with one region and begins with the next.
 */
class Interrupts {
  constructor(binding) {
    this.binding = binding;
    this.isReplaced = false;
    this.onListener = (event) => {
      if (event === "SIGINT") this.isReplaced = true;
    };
    binding.startSigintWatchdog();
  }

  /** Forgets signals that came between two runs, and listeners of the run before, which took the signal over. */
  arm() {
    const { listeners, on, removeAllListeners } = host.emitter;
    if (this.isReplaced) {
      removeAllListeners.call(host.process, "SIGINT");
      this.binding.stopSigintWatchdog();
      this.binding.startSigintWatchdog();
      this.isReplaced = false;
    }
    if (!Array.from(listeners.call(host.process, "newListener")).includes(this.onListener)) {
      on.call(host.process, "newListener", this.onListener);
    }
    this.take();
  }

  /** True if there was a signal since it was last asked for. */
  take() {
    this.binding.startSigintWatchdog();
    return this.binding.stopSigintWatchdog();
  }

  /** Calls back when a signal comes, until the promise settles. */
  async during(promise, onSignal) {
    const timer = host.setInterval(() => this.take() && onSignal(), POLL_MS);
    try {
      return await promise;
    } finally {
      host.clearInterval(timer);
    }
  }
}

/** What is left without that thread: a listener, which can lose a signal that comes as a region ends. */
class ListenedInterrupts {
  constructor() {
    this.wasSent = false;
    this.onSignal = () => (this.wasSent = true);
    this.arm();
  }

  arm() {
    this.wasSent = false;
    const { listeners, on } = host.emitter;
    if (!Array.from(listeners.call(host.process, "SIGINT")).includes(this.onSignal)) {
      on.call(host.process, "SIGINT", this.onSignal);
    }
  }

  take() {
    const { wasSent } = this;
    this.wasSent = false;
    return wasSent;
  }

  during(promise, onSignal) {
    return Interrupts.prototype.during.call(this, promise, onSignal);
  }
}

// ---- Values ------------------------------------------------------------------------------------------------------

const FORMS_OF = Symbol.for("msb.display");

function inspect(value) {
  const text = host.inspect(value, { colors: false, showProxy: true });
  return text.includes("<kernel>") ? usersFrames(text.split("\n")).join("\n") : text;
}

/**
 * The forms besides text: what the method `[Symbol.for("msb.display")]()` of an object returns, such as
 * `{ html: "<b>hi</b>", png: buffer }`, or an image for the bytes of a PNG or JPEG file. Never throws.
 */
function richForms(value) {
  if (value === null || (typeof value !== "object" && typeof value !== "function")) return {};
  try {
    if (typeof value[FORMS_OF] === "function") return validForms(value[FORMS_OF]());
    const image = host.types.isUint8Array(value) && imageKind(value);
    return image ? validForms({ [image]: value }) : {};
  } catch {
    return {};
  }
}

function validForms(offered) {
  const forms = {};
  for (const form of FORMS) {
    const data = offered[form];
    if (form === "json") {
      if (data !== undefined && JSON.stringify(data) !== undefined) forms.json = plainJson(data);
    } else if (typeof data === "string") {
      forms[form] = data;
    } else if ((form === "png" || form === "jpeg") && host.types.isUint8Array(data)) {
      forms[form] = host.Buffer.from(data).toString("base64");
    }
  }
  return forms;
}

/** A copy without methods: `toJSON` of the user's code is not called again. */
function plainJson(data) {
  return JSON.parse(JSON.stringify(data), (_key, value) => value);
}

function imageKind(bytes) {
  const startsWith = (magic) => magic.every((byte, at) => bytes[at] === byte);
  if (startsWith([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return "png";
  return startsWith([0xff, 0xd8, 0xff]) ? "jpeg" : null;
}

/** `display({ html: "…" })`: a plain object that has nothing but forms is taken for its forms. */
function isFormsObject(value) {
  if (value === null || typeof value !== "object") return false;
  const names = Reflect.ownKeys(value);
  const isForm = (name) => FORMS.includes(name) && (name === "json" || isData(value[name]));
  return names.length > 0 && names.every(isForm) && !host.types.isProxy(value);
}

function isData(value) {
  return typeof value === "string" || host.types.isUint8Array(value);
}

// ---- Errors ------------------------------------------------------------------------------------------------------

/** An error's name, text and lines, as far as it lets us have them. */
function describe(thrown) {
  if (host.types.isNativeError(thrown) || quietly(() => thrown instanceof host.global.Error)) {
    const name = quietly(() => String(thrown.name)) ?? "Error";
    const value = quietly(() => String(thrown.message)) ?? "";
    const shown = quietly(() => inspect(thrown)) ?? `${name}: ${value}`;
    // In brackets where there is no stack.
    const text = shown.replace(/^\[(.*)\]$/s, "$1");
    return { name, value, traceback: usersFrames(text.split("\n")) };
  }
  const text = quietly(() => inspect(thrown)) ?? "a value that can't be shown";
  return { name: "Uncaught", value: text, traceback: `Uncaught ${text}`.split("\n") };
}

function usersFrames(lines) {
  const kept = [];
  // The line of Node's own source where it was thrown, shown before the error.
  const shown = /^node:[a-z_/]+:\d+$/.test(lines[0]) ? lines.slice(lines.indexOf("") + 1) : lines;
  for (const line of shown) {
    if (!KERNEL_FRAME.test(line)) kept.push(line);
    // The error's own properties begin behind its last frame.
    else if (line.endsWith(" {") && kept.length > 0) kept[kept.length - 1] += " {";
  }
  return kept;
}

function quietly(make) {
  try {
    return make();
  } catch {
    return undefined;
  }
}

// ---- Code to steps -----------------------------------------------------------------------------------------------

/**
 * Code as steps, one for each top-level statement, compiled before any of them runs:
 * - `const`, `let` and `class` make properties of the global object, so that they outlive the call and can be declared
 *   again (they can be assigned, too: that is the price);
 * - statements with a top-level `await` become async functions, `import` statements dynamic imports;
 * - functions, then imports, come first.
 *
 * The parser is Node's own. Code that only V8 can parse runs as one script, whose completion value is its value.
 */
class Compiler {
  constructor(parser) {
    this.parser = parser;
    this.count = 0;
  }

  compile(code) {
    const file = `<code ${++this.count}>`;
    const [text, tree] = this.parse(code);
    if (tree === null) return this.wholeScript(code, file);
    const isStrict = tree.body[0]?.directive === "use strict";
    const steps = tree.body.map((node) => toStep(text, node));
    for (const step of steps) step.script = this.script(step, file, isStrict);
    const rank = { function: 0, import: 1, other: 2 };
    return steps.sort((a, b) => rank[a.kind] - rank[b.kind]);
  }

  /** The text that was parsed (an object literal gets parentheses) and its tree, or null. */
  parse(code) {
    if (this.parser === null) return [code, null];
    const options = {
      ecmaVersion: "latest",
      sourceType: "script",
      allowAwaitOutsideFunction: true,
      allowImportExportEverywhere: true,
      allowHashBang: true,
      locations: true,
    };
    const texts = /^\s*\{/.test(code) && !/;\s*$/.test(code) ? [`(${code}\n)`, code] : [code];
    for (const text of texts) {
      const tree = quietly(() => this.parser.parse(text, options));
      if (tree !== undefined && (texts.length === 1 || text === code || tree.body.length === 1)) {
        return [text, tree];
      }
    }
    return [code, null];
  }

  /** Throws V8's error, which is why the parser failed, too, unless V8 knows syntax that the parser does not. */
  wholeScript(code, file) {
    try {
      const script = this.newScript(code, file, 0, 0);
      return [{ kind: "other", isAsync: false, isValue: true, names: [], unset: [], script }];
    } catch (error) {
      if (!String(error.message).startsWith("await is only valid")) throw error;
      const opening = "(async()=>{";
      this.newScript(`${opening}${code}\n})`, file, 0, -opening.length);
      throw error;
    }
  }

  script({ source, line, column, before }, file, isStrict) {
    const directive = isStrict ? '"use strict";' : "";
    const columnOffset = column - before - directive.length;
    return this.newScript(directive + source, file, line, columnOffset);
  }

  newScript(source, filename, lineOffset, columnOffset) {
    const { importModuleDynamically } = host;
    return new host.Script(source, { filename, lineOffset, columnOffset, importModuleDynamically });
  }
}

/** `names` are the global variables that it makes, `unset` those of them that start without a value. */
function toStep(text, statement) {
  const node =
    statement.type === "ExportNamedDeclaration" ? (statement.declaration ?? statement) : statement;
  const step = {
    kind: node.type === "FunctionDeclaration" ? "function" : "other",
    isAsync: hasAwait(node),
    isValue: node.type === "ExpressionStatement" && node.directive !== "use strict",
    names: namesOf(node),
    unset: unsetOf(node),
    line: node.loc.start.line - 1,
    column: node.loc.start.column,
    before: 0,
  };
  if (node.type === "ImportDeclaration") {
    return { ...step, kind: "import", isAsync: true, source: dynamicImport(node) };
  }
  const around = step.isAsync
    ? step.isValue
      ? ["(async()=>(", "))()"]
      : ["(async()=>{", "})()"]
    : ["", ""];
  if (node.type === "ClassDeclaration")
    around[0] += `${step.isAsync ? "" : "var "}${node.id.name}=`;
  const body = step.isValue && step.isAsync ? node.expression : node;
  const { line, column } = body.loc.start;
  step.source = around[0] + withoutDeclarations(text, body, step.isAsync) + around[1];
  return { ...step, line: line - 1, column, before: around[0].length };
}

/** The text of a statement that declares nothing but functions and what `var` makes of the rest. */
function withoutDeclarations(text, node, isAsync) {
  const edits = [];
  if (isAsync) {
    // Inside of a function, declarations would be its own: they become assignments.
    const declarations = node.type === "VariableDeclaration" ? [[node, null]] : nestedVars(node);
    for (const [declaration, parent] of declarations)
      edits.push(...asAssignments(declaration, parent));
  } else if (node.type === "VariableDeclaration" && /^(const|let)$/.test(node.kind)) {
    edits.push([node.start, node.start + node.kind.length, "var".padEnd(node.kind.length)]);
  }
  if (host.importName !== "import") {
    const inFunctions = true;
    walk(
      node,
      null,
      (inner) => {
        const { type, start: from } = inner;
        if (type === "ImportExpression")
          edits.push([from, from + "import".length, host.importName]);
      },
      inFunctions,
    );
  }
  let result = text.slice(node.start, node.end);
  for (const [from, to, replacement] of edits.sort((a, b) => b[0] - a[0])) {
    result = result.slice(0, from - node.start) + replacement + result.slice(to - node.start);
  }
  return result;
}

function asAssignments(declaration, parent) {
  const { start: from, kind, declarations } = declaration;
  const isHead = parent !== null && (parent.init === declaration || parent.left === declaration);
  if (isHead) return [[from, from + kind.length, ""]];
  const end = declarations[declarations.length - 1].end;
  return [
    [from, from + kind.length, "void("],
    [end, end, ")"],
  ];
}

function dynamicImport(node) {
  const module = `await ${host.importName}(${JSON.stringify(node.source.value)})`;
  const nameOf = (id) => (id.type === "Literal" ? JSON.stringify(id.value) : id.name);
  const properties = [];
  let whole = null;
  for (const { type, local, imported } of node.specifiers) {
    if (type === "ImportNamespaceSpecifier") whole = local.name;
    else properties.push(`${imported === undefined ? "default" : nameOf(imported)}:${local.name}`);
  }
  const pattern = properties.length > 0 ? `{${properties.join()}}=` : "";
  const target = whole === null ? pattern : `${pattern}${whole}=`;
  return `(async()=>{void(${target}${module})})()`;
}

function namesOf(node) {
  switch (node.type) {
    case "FunctionDeclaration":
    case "ClassDeclaration":
      return [node.id.name];
    case "ImportDeclaration":
      return node.specifiers.map(({ local }) => local.name);
    case "VariableDeclaration":
      return node.declarations.flatMap(({ id }) => patternNames(id));
    default:
      return nestedVars(node).flatMap(([declaration]) => namesOf(declaration));
  }
}

/** `let x;` gives x the value undefined, also when it had another one. */
function unsetOf(node) {
  if (node.type !== "VariableDeclaration" || node.kind === "var") return [];
  return node.declarations.flatMap(({ id, init }) => (init === null ? patternNames(id) : []));
}

function patternNames(pattern) {
  switch (pattern?.type) {
    case "Identifier":
      return [pattern.name];
    case "ObjectPattern":
      return pattern.properties.flatMap((p) =>
        patternNames(p.type === "RestElement" ? p.argument : p.value),
      );
    case "ArrayPattern":
      return pattern.elements.flatMap(patternNames);
    case "AssignmentPattern":
      return patternNames(pattern.left);
    case "RestElement":
      return patternNames(pattern.argument);
    default:
      return [];
  }
}

/** Each `var` declaration inside of a statement, with the node that it is in. */
function nestedVars(statement) {
  const found = [];
  walk(statement, null, (node, parent) => {
    if (node.type === "VariableDeclaration" && node.kind === "var") found.push([node, parent]);
  });
  return found;
}

function hasAwait(statement) {
  let found = false;
  walk(statement, null, (node) => {
    found ||= node.type === "AwaitExpression" || (node.type === "ForOfStatement" && node.await);
  });
  return found;
}

/** Visits a node and what is in it; what is in functions only when it is asked for. */
function walk(root, rootParent, visit, inFunctions = false) {
  const todo = [[root, rootParent]];
  while (todo.length > 0) {
    const [node, parent] = todo.pop();
    visit(node, parent);
    if (!inFunctions && /Function/.test(node.type)) continue;
    for (const key of Object.keys(node)) {
      for (const child of [node[key]].flat()) {
        if (typeof child?.type === "string") todo.push([child, node]);
      }
    }
  }
}

// ---- Running code ------------------------------------------------------------------------------------------------

class Runner {
  constructor(control, outputs, interrupts, compiler) {
    this.control = control;
    this.interrupts = interrupts;
    this.outputs = outputs;
    this.compiler = compiler;
    this.current = null;
    /** True while the code that runs can be stopped by SIGINT: see `region`. */
    this.isStoppable = false;
    this.onException = (error) => this.uncaught(error, "uncaughtException");
    this.onRejection = (error) => this.uncaught(error, "unhandledRejection");
    this.exit = (code) => this.exitRun(code);
    this.defineGlobals();
    this.prepare();
  }

  async run(id, code) {
    this.current = { id, outcome: null, hasEnded: false };
    const stopped = new Promise((resolve) => {
      this.current.stop = (outcome) => {
        this.current.outcome ??= outcome;
        resolve();
      };
    });
    const { current } = this;
    this.control.beginRun();
    this.outputs.beginRun();
    this.prepare();
    this.interrupts.arm();
    try {
      await this.perform(current, this.compiler.compile(code), stopped);
    } catch (error) {
      current.stop({ reason: "exception", thrown: error });
    }
    this.end(current);
  }

  /** Statements without `await` run back to back, as in a script: what they promise comes to pass behind the last. */
  async perform(current, steps, stopped) {
    for (let at = 0; at < steps.length && current.outcome === null;) {
      let pending = null;
      this.region(current, () => {
        while (at < steps.length && pending === null && current.outcome === null) {
          const step = steps[at++];
          const value = this.start(step);
          this.outputs.flush();
          if (step.isAsync) pending = { step, value };
          else if (step.isValue) this.echo(value, at === steps.length);
        }
      });
      if (pending === null || current.outcome !== null) continue;
      const settled = pending.value.then((value) => ({ value }));
      // When the code was stopped, nobody is left to hear of it.
      settled.catch(() => {});
      const interrupt = () => current.stop({ reason: "interrupted" });
      const result = await this.interrupts.during(Promise.race([settled, stopped]), interrupt);
      if (current.outcome === null && pending.step.isValue) {
        this.echo(result.value, at === steps.length);
      }
    }
    // What settled promises call, and rejections that nobody handles, belong to this run.
    if (current.outcome === null) await Promise.race([new Promise(host.setImmediate), stopped]);
  }

  /** Runs code that SIGINT ends, whatever it does: V8 stops it as if it were killed. */
  region(current, action) {
    let thrown = null;
    globalThis.action = () => {
      // One that came when no region was there to be stopped.
      if (this.interrupts.take()) return current.stop({ reason: "interrupted" });
      try {
        action();
      } catch (error) {
        thrown = { reason: "exception", thrown: error };
      }
    };
    this.isStoppable = true;
    try {
      host.regionScript.runInContext(host.context, { breakOnSigint: true });
    } catch (error) {
      if (error?.code !== "ERR_SCRIPT_EXECUTION_INTERRUPTED") throw error;
      current.stop({ reason: "interrupted" });
    } finally {
      this.isStoppable = false;
    }
    if (thrown !== null && thrown.thrown !== EXIT) current.stop(thrown);
  }

  start(step) {
    for (const name of step.names) defineGlobal(name, step.unset.includes(name));
    return step.script.runInThisContext();
  }

  /** Behind the last statement, nothing of the code comes between its value and the end. */
  echo(value, isLast) {
    if (value === undefined) return;
    this.lastValue = value;
    this.emit({ text: inspect(value), ...richForms(value) }, true, isLast);
  }

  display(value) {
    const forms = isFormsObject(value) ? validForms(value) : richForms(value);
    this.emit({ text: inspect(value), ...forms }, false);
  }

  emit(forms, isValue, isHeld = false) {
    if (this.current === null || this.current.hasEnded) {
      // Of a timer between two runs: there is no run that it could be a result of.
      this.outputs.write(1, host.Buffer.from(`${forms.text}\n`));
      return;
    }
    this.outputs.flush();
    const message = { type: "result", id: this.current.id, result: { isValue, ...forms } };
    if (isHeld) this.control.hold(message);
    else this.control.send(message);
  }

  /** Tells the host how a run ended, once. */
  end(current) {
    if (current.hasEnded) return;
    current.hasEnded = true;
    const { reason = "completed", thrown, status } = current.outcome ?? {};
    this.prepare();
    this.outputs.flush();
    if (reason === "interrupted") {
      this.report(current, {
        name: "Interrupted",
        value: "SIGINT",
        traceback: ["Interrupted: the code was stopped by SIGINT"],
      });
    } else if (status !== undefined && reason === "exception") {
      const text = `process.exit(${status})`;
      this.report(current, { name: "Exit", value: String(status), traceback: [text] });
    } else if (reason === "exception") {
      this.report(current, describe(thrown));
    }
    host.process.exitCode = undefined;
    this.control.send({ type: "end", id: current.id, reason });
    this.current = null;
  }

  report(current, error) {
    this.outputs.write(2, host.Buffer.from(`${error.traceback.join("\n")}\n`));
    this.outputs.flush();
    this.control.send({ type: "error", id: current.id, error });
  }

  /** Exceptions of callbacks, and rejections that nobody handles. Handlers of the user's come first. */
  uncaught(error, event) {
    if (error === EXIT || host.emitter.listenerCount.call(host.process, event) > 1) return;
    if (this.current !== null) this.current.stop({ reason: "exception", thrown: error });
    else this.outputs.write(2, host.Buffer.from(`${describe(error).traceback.join("\n")}\n`));
  }

  /** `process.exit`: ends the run and the code in it, not the interpreter. */
  exitRun(code = host.process.exitCode) {
    const status = Number(code ?? 0);
    const { current } = this;
    current?.stop({ reason: status === 0 ? "completed" : "exception", status });
    if (this.isStoppable) {
      host.kill(host.process.pid, "SIGINT");
      // V8 stops it within this loop.
      for (const until = Date.now() + 2000; Date.now() < until;);
    } else if (current !== null) {
      this.end(current);
    }
    // A callback: what it still writes when it catches this is not of the run any more.
    this.outputs.isMuted = true;
    host.setImmediate(() => (this.outputs.isMuted = false));
    throw EXIT;
  }

  /** What each run can rely on: handlers that are ours, and an exit that does not end the interpreter. */
  prepare() {
    this.outputs.isMuted = false;
    this.outputs.restore();
    const handlers = { uncaughtException: this.onException, unhandledRejection: this.onRejection };
    const { on, listeners } = host.emitter;
    for (const [event, handler] of Object.entries(handlers)) {
      const present = listeners.call(host.process, event);
      if (!Array.from(present).includes(handler)) on.call(host.process, event, handler);
    }
    quietly(() => (host.process.exit = this.exit));
  }

  defineGlobals() {
    const { global } = host;
    const show = (...values) => values.forEach((value) => this.display(value));
    const hidden = { enumerable: false, configurable: true };
    Object.defineProperty(show, "name", { value: "display" });
    Object.defineProperty(global, "display", { ...hidden, value: show, writable: true });
    const set = (value) => Object.defineProperty(global, "_", { ...hidden, value, writable: true });
    // Until the user's code has a variable of this name.
    Object.defineProperty(global, "_", { ...hidden, get: () => this.lastValue, set });
    // For `if (require.main === module)`.
    const { module } = global;
    quietly(() => (global.require.main = module));
    // Node.js puts another one there when the stub has ended.
    host.nextTick(() =>
      Object.defineProperty(global, "module", { ...hidden, value: module, writable: true }),
    );
  }
}

/** Makes a plain variable of a global name, also of one that Node.js gives with a getter, such as `crypto`. */
function defineGlobal(name, isUnset) {
  const { global } = host;
  const own = Object.getOwnPropertyDescriptor(global, name);
  if (own !== undefined && own.writable === true) {
    if (isUnset) global[name] = undefined;
  } else if (own === undefined || own.configurable) {
    const plain = { value: undefined, writable: true, enumerable: true, configurable: true };
    Object.defineProperty(global, name, plain);
  }
}

// ---- Start -------------------------------------------------------------------------------------------------------

function start({ fd, require, process, global, context }) {
  const vm = require("vm");
  const { EventEmitter } = require("events");
  const fs = require("fs");
  const util = require("util");
  const { performance } = require("perf_hooks");
  host = {
    process,
    global,
    context,
    fs,
    writeSync: fs.writeSync,
    Buffer: require("buffer").Buffer,
    Writable: require("stream").Writable,
    Worker: require("worker_threads").Worker,
    Script: vm.Script,
    inspect: util.inspect,
    types: { ...util.types },
    emitter: { ...EventEmitter.prototype },
    setImmediate: global.setImmediate,
    setInterval: global.setInterval,
    setTimeout: global.setTimeout,
    clearTimeout: global.clearTimeout,
    clearInterval: global.clearInterval,
    nextTick: process.nextTick,
    now: performance.now.bind(performance),
    randomInt: require("crypto").randomInt,
    setFlags: require("v8").setFlagsFromString,
    kill: process.kill.bind(process),
    regionScript: new vm.Script("action()", { filename: "<kernel>" }),
    // Resolves from the working directory. Before Node.js 20.12 and 21.7, scripts cannot import by themselves.
    importModuleDynamically: vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  };
  host.importName = host.importModuleDynamically === undefined ? "msbImport" : "import";
  if (host.importName !== "import") {
    const value = importFromHere(require);
    Object.defineProperty(global, host.importName, { value, configurable: true });
  }
  silenceWarnings(process);
  const bindingOf = (name) =>
    quietly(() => require("internal/test/binding").internalBinding(name)) ?? null;
  const binding = bindingOf("contextify");
  const interrupts = new (binding ? Interrupts : ListenedInterrupts)(binding);
  const parser = quietly(() => require("internal/deps/acorn/acorn/dist/acorn")) ?? null;
  process.execArgv = [];
  const starters = [bindingOf("spawn_sync"), bindingOf("process_wrap")?.Process?.prototype];
  const outputs = new Outputs(starters.every((starter) => typeof starter?.spawn === "function"));
  if (outputs.canGather) for (const starter of starters) flushBefore(starter, outputs);
  let runner = null;
  const compiler = new Compiler(parser);
  const control = new Control(fd, {
    // Its thread takes as long to start as all the rest.
    onListening: () => control.send({ type: "ready", version: process.versions.node }),
    onReseed: () => reseed(compiler),
    onRun: (id, code) => void runner.run(id, code),
  });
  outputs.control = control;
  runner = new Runner(control, outputs, interrupts, compiler);
}

/** `import()` of a module in the working directory. That of scripts crashes Node.js 16 once the script was collected. */
function importFromHere(require) {
  const Module = require("module");
  const module = new Module(require("path").resolve("<kernel>"));
  module._compile("module.exports = (name) => import(name)", module.id);
  return module.exports;
}

/** What was printed before a child starts is out before that writes. */
function flushBefore(starter, outputs) {
  const { spawn } = starter;
  starter.spawn = function (...options) {
    outputs.flush();
    return Reflect.apply(spawn, this, options);
  };
}

/** That the constant for `import()` is experimental, and the binding internal, is nothing to tell the user's code. */
function silenceWarnings(process) {
  const { emitWarning } = process;
  const isOurs = /^(vm\.USE_MAIN_CONTEXT_DEFAULT_LOADER|These APIs are for internal testing only)/;
  process.emitWarning = (warning, ...rest) => {
    if (!isOurs.test(String(warning))) Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
}

// The value of this script.
start;
