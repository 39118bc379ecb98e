"""
A client as programs of the microsandbox 0.2 time have it, written from the description of its behaviour: its
classes, request bodies, timeouts, error texts, and where it breaks. It speaks through Debian's python3-aiohttp.

    /usr/bin/python3 old-client.py URL KEY      KEY may be empty

It reads one JSON command a line and answers each with one JSON line, in the order in which they end: commands run
side by side.

    {"id": 1, "do": "new", "as": "sb", "class": "PythonSandbox", "name": "n", "namespace": "default"}
    {"id": 2, "do": "start", "on": "sb", "with": {"memory": 512}}
    {"id": 2, "value": null, "warnings": []}          or          {"id": 2, "error": {"type": "RuntimeError", "message": "..."}}
"""

import asyncio
import contextvars
import json
import os
import sys
import uuid
import warnings
from contextlib import asynccontextmanager

import aiohttp

DEFAULT_URL = "http://127.0.0.1:5555"
# What it allows the server beyond the start timeout that the caller gave.
START_MARGIN_S = 30
# The warnings of one command; each command is a task with a context of its own.
caught = contextvars.ContextVar("caught")


def note_warning(message, category, *_rest):
    if category is UserWarning:
        caught.get().append(str(message))


class Lines:
    """Output as lines of {stream, text}. What does not look like one is passed over."""

    def __init__(self, lines):
        self._lines = lines

    async def output(self):
        return self._text("stdout")

    async def error(self):
        return self._text("stderr")

    def _text(self, stream):
        text = ""
        for line in self._lines:
            if isinstance(line, dict) and line.get("stream") == stream and "text" in line:
                text += line["text"] + "\n"
        return text.rstrip()


class Execution(Lines):
    def __init__(self, result):
        self.status = "unknown"
        self.language = "unknown"
        self._has_error = False
        lines = []
        if isinstance(result, dict):
            self.status = result.get("status", "unknown")
            self.language = result.get("language", "unknown")
            self._has_error = self.status in ("error", "exception")
            lines = result.get("output", [])
            for line in lines:
                if isinstance(line, dict) and line.get("stream") == "stderr" and line.get("text"):
                    self._has_error = True
        super().__init__(lines)

    def has_error(self):
        return self._has_error


class CommandExecution(Lines):
    def __init__(self, result):
        known = result if isinstance(result, dict) else {}
        super().__init__(known.get("output", []))
        self.command = known.get("command", "")
        self.args = known.get("args", [])
        self.exit_code = known.get("exit_code", -1)
        self.success = known.get("success", False)


class Command:
    def __init__(self, sandbox):
        self._sandbox = sandbox

    async def run(self, command, args=None, timeout=None):
        sandbox = self._sandbox
        sandbox._require_started()
        params = {
            "sandbox": sandbox._name,
            "namespace": sandbox._namespace,
            "command": command,
            "args": [] if args is None else args,
        }
        if timeout is not None:
            params["timeout"] = timeout
        failed = "Failed to execute command"
        try:
            answer = await sandbox._call("sandbox.command.run", params, failed)
        except aiohttp.ClientError as error:
            raise RuntimeError(f"{failed}: {error}")
        return CommandExecution(answer.get("result", {}))


class Metrics:
    def __init__(self, sandbox):
        self._sandbox = sandbox

    async def all(self):
        return await self._first()

    async def cpu(self):
        return (await self._first()).get("cpu_usage")

    async def memory(self):
        return (await self._first()).get("memory_usage")

    async def disk(self):
        return (await self._first()).get("disk_usage")

    async def is_running(self):
        return (await self._first()).get("running", False)

    async def _first(self):
        sandbox = self._sandbox
        sandbox._require_started()
        params = {"namespace": sandbox._namespace, "sandbox": sandbox._name}
        failed = "Failed to get sandbox metrics"
        try:
            answer = await sandbox._call("sandbox.metrics.get", params, failed)
            sandboxes = answer.get("result", {}).get("sandboxes", [])
            return sandboxes[0] if sandboxes else {}
        except Exception as error:
            # Whatever it was, its own words get the same words before them once more.
            raise RuntimeError(f"{failed}: {error}")


class Sandbox:
    image = ""
    language = ""

    def __init__(self, server_url=None, namespace="default", name=None, api_key=None):
        self._server_url = server_url or os.environ.get("MSB_SERVER_URL") or DEFAULT_URL
        self._namespace = namespace
        self._name = name or f"sandbox-{uuid.uuid4().hex[:8]}"
        self._api_key = api_key or os.environ.get("MSB_API_KEY")
        self._is_started = False

    @classmethod
    @asynccontextmanager
    async def create(cls, server_url=None, namespace="default", name=None, api_key=None):
        sandbox = cls(server_url=server_url, namespace=namespace, name=name, api_key=api_key)
        try:
            sandbox._session = aiohttp.ClientSession()
            await sandbox.start()
            yield sandbox
        finally:
            await sandbox.stop()
            await sandbox._session.close()

    @property
    def command(self):
        return Command(self)

    @property
    def metrics(self):
        return Metrics(self)

    async def start(self, image=None, memory=512, cpus=1.0, timeout=180.0):
        if self._is_started:
            return
        params = {
            "namespace": self._namespace,
            "sandbox": self._name,
            "config": {"image": image or self.image, "memory": memory, "cpus": round(cpus)},
        }
        total = aiohttp.ClientTimeout(total=timeout + START_MARGIN_S)
        try:
            answer = await self._call(
                "sandbox.start", params, "Failed to start sandbox", timeout=total
            )
        except aiohttp.ClientError as error:
            raise RuntimeError(f"Failed to communicate with Microsandbox server: {error}")
        result = answer.get("result", "")
        if isinstance(result, str) and "timed out waiting" in result:
            warnings.warn(f"Sandbox start warning: {result}")
        self._is_started = True

    async def stop(self):
        if not self._is_started:
            return
        params = {"namespace": self._namespace, "sandbox": self._name}
        try:
            await self._call("sandbox.stop", params, "Failed to stop sandbox")
        except aiohttp.ClientError as error:
            raise RuntimeError(f"Failed to communicate with Microsandbox server: {error}")
        self._is_started = False

    async def run(self, code):
        self._require_started()
        params = {
            "sandbox": self._name,
            "namespace": self._namespace,
            "language": self.language,
            "code": code,
        }
        failed = "Failed to execute code"
        try:
            answer = await self._call("sandbox.repl.run", params, failed)
        except aiohttp.ClientError as error:
            raise RuntimeError(f"{failed}: {error}")
        return Execution(answer.get("result", {}))

    def _require_started(self):
        if not self._is_started:
            raise RuntimeError("Sandbox is not started. Call start() first.")

    async def _call(self, method, params, failed, **options):
        """The answer's JSON as it is; only what the status and its `error` say is looked at."""
        headers = {"Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": str(uuid.uuid4())}
        url = f"{self._server_url}/api/v1/rpc"
        async with self._session.post(url, json=body, headers=headers, **options) as response:
            if response.status != 200:
                raise RuntimeError(f"{failed}: {await response.text()}")
            answer = await response.json()
            if "error" in answer:
                raise RuntimeError(f"{failed}: {answer['error']['message']}")
            return answer


class PythonSandbox(Sandbox):
    image = "microsandbox/python"
    language = "python"


class NodeSandbox(Sandbox):
    image = "microsandbox/node"
    language = "nodejs"


class Runner:
    """The commands that a test gives, each a method named do_*."""

    def __init__(self, url, key):
        self._defaults = {"server_url": url, "api_key": key or None}
        self._sandboxes = {}
        self._contexts = {}

    async def answer(self, command):
        caught.set([])
        try:
            value = await getattr(self, f"do_{command['do']}")(command)
            reply = {"id": command["id"], "value": value}
        except Exception as error:
            reply = {"id": command["id"], "error": {"type": type(error).__name__, "message": str(error)}}
        print(json.dumps({**reply, "warnings": caught.get()}), flush=True)

    def _arguments(self, command):
        given = {key: command[key] for key in ("server_url", "namespace", "name", "api_key") if key in command}
        return {**self._defaults, **given}

    async def do_new(self, command):
        sandbox = globals()[command.get("class", "PythonSandbox")](**self._arguments(command))
        if command.get("session", True):
            total = aiohttp.ClientTimeout(total=command.get("session_timeout", 300))
            sandbox._session = aiohttp.ClientSession(timeout=total)
        self._sandboxes[command["as"]] = sandbox
        return sandbox._name

    async def do_enter(self, command):
        """The head of `async with …create(…) as sb`."""
        create = globals()[command.get("class", "PythonSandbox")].create
        context = create(**self._arguments(command))
        sandbox = await context.__aenter__()
        self._sandboxes[command["as"]] = sandbox
        self._contexts[command["as"]] = context
        return sandbox._name

    async def do_exit(self, command):
        """Its end; with `raising` an exception of that text ends the body."""
        context = self._contexts.pop(command["on"])
        text = command.get("raising")
        error = None if text is None else ValueError(text)
        is_swallowed = await context.__aexit__(type(error) if error else None, error, None)
        if error and not is_swallowed:
            raise error

    async def do_close(self, command):
        await self._sandboxes[command["on"]]._session.close()

    async def do_start(self, command):
        return await self._sandboxes[command["on"]].start(**command.get("with", {}))

    async def do_stop(self, command):
        return await self._sandboxes[command["on"]].stop()

    async def do_run(self, command):
        execution = await self._sandboxes[command["on"]].run(command["code"])
        return {
            "status": execution.status,
            "language": execution.language,
            "has_error": execution.has_error(),
            "output": await execution.output(),
            "error": await execution.error(),
        }

    async def do_command(self, command):
        execution = await self._sandboxes[command["on"]].command.run(**command["with"])
        return {
            "command": execution.command,
            "args": execution.args,
            "exit_code": execution.exit_code,
            "success": execution.success,
            "output": await execution.output(),
            "error": await execution.error(),
        }

    async def do_metrics(self, command):
        return await getattr(self._sandboxes[command["on"]].metrics, command["get"])()

    async def do_state(self, command):
        sandbox = self._sandboxes[command["on"]]
        names = ("name", "is_started")
        return {"is_started": sandbox._is_started, "has": [name for name in names if hasattr(sandbox, name)]}


async def main():
    warnings.simplefilter("always")
    warnings.showwarning = note_warning
    runner = Runner(sys.argv[1], sys.argv[2])
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(runner.answer(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main())
