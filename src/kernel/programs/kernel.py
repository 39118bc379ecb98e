# The kernel program for Python 3.8 and newer: runs code in one namespace and tells the host of values and ends.
#
# It shares its process with code that may do anything, so it keeps what it needs (a copy of the builtins, duplicates of
# its file descriptors) out of that code's way, and repairs at the end of each run what would make the next one silent.
# Its globals come from the stub in load.ts: `control_fd` and a `__builtins__` of its own.
#
# Contract: src/kernel/PROTOCOL.md. Standard library only; what is imported here is paid for by each start.
import __future__
import _signal
import _thread
import ast
import base64
import builtins
import collections
import fcntl
import io
import json
import linecache
import os
import queue
import signal
import stat
import struct
import sys
import termios
import time
import traceback
import types
import warnings

KERNEL_FILE = "<kernel>"
ALLOW_TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
CO_COROUTINE = 0x80
FUTURE_FLAGS = 0  # Every `from __future__` that compile() takes.
for feature in __future__.all_feature_names:
    FUTURE_FLAGS |= getattr(__future__, feature).compiler_flag
MAX_LINE_BYTES = 16 * 1024 * 1024 - 4096
RESEED = "reseed"
MAX_HOST_LINE_BYTES = 8 * 1024 * 1024
# How long a writer waits for what was written elsewhere before to be read, so that the order stays visible.
SWITCH_WAIT_SECONDS = 1.0
# Of waits for nothing, one after the other.
MAX_VAIN_WAITS = 2
# All waits of a run together, and the share of its time that may be added.
MAX_SWITCH_WAITS_SECONDS = 10.0
SWITCH_WAITS_SHARE = 0.5
# So many writes of a run go out one by one; then they are gathered, up to a size and for a while.
WRITES_AT_ONCE = 128
GATHERED_BYTES = 32 * 1024
GATHER_SECONDS = 0.01
# What starts programs, or ends this one, before which gathered output has to be out.
OUTPUT_FIRST_EVENTS = frozenset(
    "os.exec os.fork os.forkpty os.kill os.posix_spawn os.spawn os.system pty.spawn subprocess.Popen".split()
)
# Sources of earlier runs that tracebacks can still show.
MAX_SOURCES = 500
# Lone surrogates are shown as escapes: printing never fails for what is printed.
PRINT_ERRORS = "backslashreplace"
MAX_TRACEBACK_LINES = 160
DEFAULT_RECURSION_LIMIT = 1000
MIME_FORMS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "text/latex": "latex",
    "application/json": "json",
}
REPR_METHODS = [
    ("_repr_html_", "html"),
    ("_repr_markdown_", "markdown"),
    ("_repr_svg_", "svg"),
    ("_repr_png_", "png"),
    ("_repr_jpeg_", "jpeg"),
    ("_repr_latex_", "latex"),
    ("_repr_json_", "json"),
]

# Of their own they offer text alone.
PLAIN_TYPES = frozenset((bool, bytes, complex, dict, float, frozenset, int, list, set, str, tuple))

to_json = json.JSONEncoder(allow_nan=False).encode
quoted = json.encoder.encode_basestring_ascii
from_json = json.JSONDecoder().raw_decode
sleep = time.sleep
clock = time.monotonic
kernel_pid = os.getpid()


def in_kernel_process():
    """False in children that the user's code forked: they must stay off the control channel."""
    return os.getpid() == kernel_pid


# ---- Standard output and error ------------------------------------------------------------------------------------


class Output(io.BufferedWriter):
    """The bytes of a standard stream. It outlives close(), and keeps the order with what is written elsewhere."""

    def __init__(self, fd, name):
        raw = io.FileIO(fd, "wb", closefd=False)
        raw.name = name
        io.BufferedWriter.__init__(self, raw, GATHERED_BYTES)
        self.fd = fd

    def write(self, data):
        if order.last != self.fd:
            order.show(self.fd)
        try:
            size = buffered_write(self, data)
        except BlockingIOError as full:
            size = self.write_rest(data, full.characters_written)
        pace.after_write(self)
        return size

    def write_rest(self, data, done):
        """A child made the pipe one that does not block."""
        view = memoryview(data).cast("B")
        while done < len(view):
            sleep(0.001)
            try:
                done += buffered_write(self, view[done:])
            except BlockingIOError as full:
                done += full.characters_written
        return done

    def flush(self):
        while True:
            try:
                return buffered_flush(self)
            except BlockingIOError:
                sleep(0.001)


buffered_write = io.BufferedWriter.write
buffered_flush = io.BufferedWriter.flush


class Pace:
    """
    Lets writes go out one by one, so that what is printed is seen at once and not lost with the process, as long as
    they are few. Many are gathered, and a thread shows what there is every few milliseconds.
    """

    def __init__(self):
        self.is_gathering = False
        self.was_used = False
        self.at_once = WRITES_AT_ONCE
        self.has_thread = False
        self.wake = _thread.allocate_lock()
        self.wake.acquire()
        # While the thread shows what there is, and while a process forks: see before_fork.
        self.showing = _thread.allocate_lock()
        self.is_held = False

    def after_write(self, output):
        if self.is_gathering:
            self.was_used = True
            return
        output.flush()
        self.at_once -= 1
        if self.at_once == 0:
            self.gather()

    def begin_run(self):
        if not self.is_gathering:
            self.at_once = WRITES_AT_ONCE

    def gather(self):
        self.was_used = self.is_gathering = True
        if not self.has_thread:
            try:
                _thread.start_new_thread(self.show_from_time_to_time, ())
                self.has_thread = True
            except RuntimeError:
                self.stop()
        elif self.wake.locked():
            self.wake.release()

    def show_from_time_to_time(self):
        # Signals are the main thread's.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            while not self.ends_when_quiet():
                sleep(GATHER_SECONDS)
                streams.show_gathered()
            self.wake.acquire()

    def ends_when_quiet(self):
        """When nothing was written for a while and all is out, writes go out one by one again."""
        if self.was_used or not streams.show_gathered():
            self.was_used = False
            return False
        self.at_once = WRITES_AT_ONCE
        self.is_gathering = False
        if streams.show_gathered():
            return True
        self.is_gathering = True  # By a thread that was in the middle of it.
        return False

    def hold(self):
        self.showing.acquire()
        self.is_held = True

    def let_go(self):
        if self.is_held:
            self.is_held = False
            self.showing.release()

    def stop(self):
        """In a forked child, which has no thread for it."""
        self.let_go()
        self.is_gathering = False
        self.at_once = -1


class WriteOrder:
    """
    Waits before output until what went to another descriptor has been read, for that is the only way to tell which of
    two descriptors was written first. A reader that is slow, or waits itself, is not waited for without end; what is
    lost then is the order alone.
    """

    def __init__(self):
        self.last = None  # The descriptor that was written to last, if that may not have been read yet.
        self.begin_run()

    def begin_run(self):
        # The host has seen how the run before ended.
        if self.last not in (1, 2):
            self.last = None
        self.vain_waits = 0
        self.waited = 0.0
        self.began = clock()

    def show(self, fd):
        last, self.last = self.last, fd
        if last is None or last == fd:
            return
        if last == control.fd:
            control.flush()
        else:
            streams.flush_bytes()
        if unread_bytes(last) == 0:
            self.vain_waits = 0
            return
        if self.vain_waits == MAX_VAIN_WAITS:
            return
        now = clock()
        left = MAX_SWITCH_WAITS_SECONDS + SWITCH_WAITS_SHARE * (now - self.began) - self.waited
        until = now + min(SWITCH_WAIT_SECONDS, left)
        while clock() < until and unread_bytes(last) > 0:
            sleep(0.0002)
        self.vain_waits = self.vain_waits + 1 if unread_bytes(last) > 0 else 0
        self.waited += clock() - now


def unread_bytes(fd):
    """What a pipe or a socket's peer holds that nobody read yet; 0 for anything that can't tell."""
    try:
        is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
        request = termios.TIOCOUTQ if is_socket else termios.FIONREAD
        return struct.unpack("i", fcntl.ioctl(fd, request, b"\0\0\0\0"))[0]
    except OSError:
        return 0


class StandardStreams:
    """What `sys.stdout` and `sys.stderr` are at the start of each run, whatever became of them in the one before."""

    def __init__(self):
        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        if devnull != 0:
            os.close(devnull)
        # Duplicates bring the pipes back after `os.close(1)`, and are out of the way of small numbers.
        self.saved = {fd: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in (1, 2)}
        self.pipes = {fd: os.fstat(fd) for fd in self.saved}
        # Else they would close the descriptors when they are collected.
        self.interpreters_own = (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        self.stdout = self.stderr = self.stdin = None
        self.outputs = {}

    def restore_descriptors(self):
        for fd, saved in self.saved.items():
            try:
                here = os.fstat(fd)
                if (here.st_dev, here.st_ino) == (self.pipes[fd].st_dev, self.pipes[fd].st_ino):
                    continue
            except OSError:
                pass
            os.dup2(saved, fd)
        self.stdout = self.writer_of(self.stdout, 1, "<stdout>")
        self.stderr = self.writer_of(self.stderr, 2, "<stderr>")
        self.stdin = self.reader()

    def restore_names(self):
        sys.stdout = sys.__stdout__ = self.stdout
        sys.stderr = sys.__stderr__ = self.stderr
        sys.stdin = sys.__stdin__ = self.stdin

    def writer_of(self, current, fd, name):
        try:
            if not current.closed and not current.buffer.closed and current.errors == PRINT_ERRORS:
                return current
        except (ValueError, AttributeError):  # Detached, or none yet.
            pass
        if fd in self.outputs:
            quietly(self.outputs[fd].flush)
        output = self.outputs[fd] = Output(fd, name)
        writer = io.TextIOWrapper(output, encoding="utf-8", errors=PRINT_ERRORS, write_through=True)
        writer.mode = "w"
        return writer

    def reader(self):
        try:
            if self.stdin is not None and not self.stdin.closed and os.fstat(0):
                return self.stdin
        except (OSError, ValueError):
            pass
        try:
            os.fstat(0)
        except OSError:
            # The smallest free number is 0.
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
        return open(0, "r", encoding="utf-8", errors="surrogateescape", closefd=False)

    def flush(self):
        # Also what the user's code put in their place.
        for stream in (sys.stdout, sys.stderr):
            if stream is not self.stdout and stream is not self.stderr:
                try:
                    stream.flush()
                except Exception:
                    pass
        self.flush_bytes()

    def flush_bytes(self):
        for output in self.outputs.values():
            try:
                output.flush()
            except Exception:
                pass  # Closed, or nobody reads any more.

    def show_gathered(self):
        """
        Writes what was gathered where that can't take long: while something is unread, nobody waits for more. True if
        all is out.
        """
        is_all = True
        with pace.showing:
            for fd, output in list(self.outputs.items()):
                if unread_bytes(fd) == 0:
                    quietly(output.flush)
                else:
                    is_all = False
        return is_all

    def leave_to_child(self):
        """A child that makes itself a daemon lets the pipes go with the numbers 1 and 2."""
        for fd in self.saved.values():
            close_quietly(fd)


def close_quietly(fd):
    try:
        os.close(fd)
    except OSError:
        pass


# ---- The control channel ------------------------------------------------------------------------------------------


class Control:
    """Reads in a thread of its own, so that the host gets answers while code runs; anybody writes, one at a time."""

    def __init__(self, fd):
        self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)
        os.close(fd)
        os.set_blocking(self.fd, True)
        self.lock = _thread.allocate_lock()
        self.held = b""  # A message that waits for the one behind it.
        self.running = None
        self.runs = queue.SimpleQueue()

    def start(self):
        # Not threading.Thread: the user's code doesn't see it among its threads.
        _thread.start_new_thread(self.read, ())

    def read(self):
        """Puts runs and RESEED into the queue, and None when the host is gone."""
        # Signals are the main thread's: they wake it from what it waits for.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        line = bytearray()
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                self.runs.put(None)
                return
            *ended, rest = data.split(b"\n")
            for part in ended:
                line += part
                if line:
                    self.take(bytes(line))
                    line = bytearray()
            line += rest
            if len(line) > MAX_HOST_LINE_BYTES:
                line = bytearray()

    def take(self, line):
        try:
            message = from_json(line.decode("utf-8"))[0]
            kind = message["type"]
            if kind == "run":
                run = (str(message["id"]), str(message["code"]))
                with self.lock:
                    self.running = run[0]
                self.runs.put(run)
            elif kind == "sync":
                if message.get("reseed") is True:
                    self.runs.put(RESEED)
                with self.lock:
                    self.write({"type": "synced", "nonce": message["nonce"], "running": self.running})
        except (ValueError, KeyError, TypeError, RecursionError):
            pass  # Not a message: skipped.

    def send(self, message, is_held=False):
        """What is held goes out with the next message, or before anything else that is written."""
        # An interrupt in the middle would leave half a message and a lock that nobody opens.
        with Shield(), self.lock:
            if is_held and in_kernel_process():
                order.last = self.fd
                self.held += b"\n" + encoded(message) + b"\n"
                return
            self.write(message)
            if message["type"] == "end":
                self.running = None

    def flush(self):
        if self.held:
            with Shield(), self.lock:
                self.write()

    def write(self, message=None):
        if not in_kernel_process():
            return
        order.last = self.fd
        line = b"" if message is None else b"\n" + encoded(message) + b"\n"
        data = memoryview(self.held + line)
        self.held = b""
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                sleep(0.001)


def reseed():
    """For an interpreter that is a copy: its random numbers are drawn anew from the system's, and it counts anew."""
    sources.count = 0
    for name in ("random", "numpy.random"):
        module = sys.modules.get(name)
        if module is not None:
            module.seed()


def to_line(message):
    """What to_json gives of a message, in much less time: most of it are texts."""
    members = []
    for name, value in message.items():
        if type(value) is str:
            text = quoted(value)
        elif name == "result":
            text = to_line(value)
        else:
            text = to_json(value)
        members.append('"%s":%s' % (name, text))
    return "{%s}" % ",".join(members)


def encoded(message):
    """A message as one line that is not too long: the largest forms of a result are left out until it fits."""
    line = to_line(message).encode("ascii")
    if len(line) <= MAX_LINE_BYTES:
        return line
    if message["type"] == "result":
        forms = message["result"]
        omitted = forms.setdefault("omitted", {})
        sizes = {
            name: len(to_json(form)) for name, form in forms.items() if name not in ("isValue", "omitted")
        }
        if sizes:
            largest = max(sizes, key=sizes.get)
            del forms[largest]
            omitted[largest] = sizes[largest]
            return encoded(message)
    elif message["type"] == "error":
        error = message["error"]
        error["value"] = error["value"][:65536]
        error["traceback"] = [text[:65536] for text in error["traceback"][-50:]]
        return to_json(message).encode("ascii")
    return b""


# ---- Interrupts ---------------------------------------------------------------------------------------------------


class Interrupts:
    """SIGINT raises KeyboardInterrupt in the user's code, and nowhere else."""

    def __init__(self):
        self.shielded = True
        self.pending = False
        self.happened = False
        self.loop_files = ()
        self.cancel = None
        self.has_cancelled = False

    def await_in(self, loop, task):
        """The event loop turns for a task, or for none any more."""
        if loop is None:
            self.cancel = None
            return
        if not self.loop_files:
            import asyncio
            import selectors

            parts = (asyncio.base_events, asyncio.events, asyncio.selector_events, selectors)
            self.loop_files = tuple(part.__file__ for part in parts)
        self.has_cancelled = False
        self.cancel = lambda: loop.call_soon_threadsafe(task.cancel)

    def install(self):
        # The module's own makes names of numbers, which takes long.
        if _signal.getsignal(_signal.SIGINT) != self.on_signal:
            _signal.signal(_signal.SIGINT, self.on_signal)

        if sys.unraisablehook is sys.__unraisablehook__:
            sys.unraisablehook = self.on_unraisable

    def on_unraisable(self, unraisable):
        """An interrupt within a finalizer or a weak reference's callback ends that alone: it comes again behind it."""
        if unraisable.exc_type is KeyboardInterrupt and self.happened:
            _thread.start_new_thread(self.repeat, ())
        else:
            sys.__unraisablehook__(unraisable)

    def repeat(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        sleep(0.001)
        signal.pthread_kill(main_thread, signal.SIGINT)

    def on_signal(self, _signum, frame):
        if self.shielded or (frame is not None and frame.f_code is guard.__code__):
            self.pending = True
            return
        self.happened = True
        if self.cancel is not None and frame and frame.f_code.co_filename in self.loop_files:
            # Raised in the loop's own code it may cost the loop a callback that it was about to run, for good.
            self.has_cancelled = True
            self.cancel()
            return
        raise KeyboardInterrupt


class Shield:
    """A region that SIGINT does not leave half done; it is raised behind it."""

    def __enter__(self):
        # Handlers run in the main thread: there is nothing to keep from others.
        self.is_needed = _thread.get_ident() == main_thread
        if self.is_needed:
            self.before = interrupts.shielded
            interrupts.shielded = True

    def __exit__(self, *_error):
        if not self.is_needed:
            return
        interrupts.shielded = self.before
        if interrupts.pending and not self.before:
            interrupts.pending = False
            interrupts.happened = True
            raise KeyboardInterrupt


def guard(action):
    """Calls the user's code; returns what it raised. SIGINT is only remembered in this frame: see Interrupts."""
    try:
        interrupts.shielded = False
        action()
    except BaseException as error:
        interrupts.shielded = True
        return error
    interrupts.shielded = True
    return None


# ---- Values -------------------------------------------------------------------------------------------------------


def displayhook(value):
    """What the value of a top-level expression is given to: `None` is silent, `_` is the last one."""
    if value is None:
        return
    builtins._ = None
    emit(value, True)
    builtins._ = value


def display(*values):
    """Shows values in every form they offer: HTML, Markdown, SVG, PNG, JPEG, LaTeX, JSON, text."""
    for value in values:
        emit(value, False)


# In tracebacks and help() it is nobody's method of ours.
display.__module__ = "builtins"


def emit(value, is_value):
    text = repr(value)
    if not isinstance(text, str):
        raise TypeError("__repr__ returned non-string")
    forms = quietly(lambda: rich_forms(value)) or {}
    forms["text"] = str.__str__(text)
    send_result(forms, is_value)


def send_result(forms, is_value):
    run_id = control.running
    if run_id is None or not in_kernel_process():
        # Of a thread between two runs, or of a forked child: there is no run that it could be a result of.
        sys.stdout.write(forms.get("text", "") + "\n")
        return
    streams.flush()
    message = {"type": "result", "id": run_id, "result": dict(forms, isValue=is_value)}
    # Nothing of the code comes between the value of its last statement and its end.
    control.send(message, is_held=is_value and runner.is_at_last)


def rich_forms(value):
    """The forms besides text, by the conventions of notebooks. What fails in making one only leaves it out."""
    forms = {}
    kind = type(value)
    # Looked up on the type: objects that answer to any name do not offer forms.
    if kind in PLAIN_TYPES or isinstance(value, type):
        return forms
    bundle = quietly(lambda: kind._repr_mimebundle_(value)) if hasattr(kind, "_repr_mimebundle_") else None
    if isinstance(bundle, tuple) and bundle:
        bundle = bundle[0]
    if isinstance(bundle, dict):
        for mime, data in bundle.items():
            add_form(forms, MIME_FORMS.get(mime), data)
    for method, form in REPR_METHODS:
        if form not in forms and hasattr(kind, method):
            add_form(forms, form, quietly(lambda: getattr(kind, method)(value)))
    if "html" not in forms and kind.__name__ == "Series" and kind.__module__.startswith("pandas."):
        add_form(forms, "html", quietly(lambda: value.to_frame()._repr_html_()))
    if "png" not in forms and is_figure(kind):
        add_form(forms, "png", quietly(lambda: figure_png(value)))
        shown_figures.append(value)
    return forms


def add_form(forms, form, data):
    if form is None or data is None:
        return
    if isinstance(data, tuple) and data:  # (data, metadata)
        data = data[0]
    if form == "json":
        try:
            to_json(data)
        except (TypeError, ValueError, RecursionError):
            return
        forms[form] = data
    elif form in ("png", "jpeg") and isinstance(data, (bytes, bytearray)):
        forms[form] = base64.b64encode(data).decode("ascii")
    elif isinstance(data, str):
        forms[form] = str.__str__(data)


def quietly(make):
    try:
        return make()
    except Exception:
        return None


# ---- Matplotlib ---------------------------------------------------------------------------------------------------

shown_figures = []


class MatplotlibFinder:
    """Gives matplotlib a backend whose figures become results. It costs nothing until matplotlib is imported."""

    BACKEND = "msb_inline"

    def find_spec(self, name, _path=None, _target=None):
        if name == self.BACKEND:
            return self.backend_spec()
        if name != "matplotlib":
            return None
        import importlib.util

        # Asks the finders behind this one.
        position = sys.meta_path.index(self)
        del sys.meta_path[position]
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(position, self)
        if spec is not None and spec.loader is not None and "MPLBACKEND" not in os.environ:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                quietly(lambda: module.rcParams.__setitem__("backend", "module://" + self.BACKEND))

            spec.loader.exec_module = exec_module
        return spec

    def backend_spec(self):
        import importlib.machinery

        return importlib.machinery.ModuleSpec(self.BACKEND, self)

    def create_module(self, _spec):
        return None

    def exec_module(self, module):
        import matplotlib.backends.backend_agg as agg

        for name, member in vars(agg).items():
            if not name.startswith("__"):
                setattr(module, name, member)
        module.show = lambda *_args, **_options: show_figures()


def is_figure(kind):
    return any(c.__name__ == "Figure" and c.__module__ == "matplotlib.figure" for c in kind.__mro__)


def figure_png(figure):
    data = io.BytesIO()
    figure.savefig(data, format="png", bbox_inches="tight")
    return data.getvalue()


def show_figures():
    """Makes results of the open figures that were not shown yet, and closes them all."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        if not any(figure is shown for shown in shown_figures):
            emit(figure, False)
    pyplot.close("all")
    del shown_figures[:]


# ---- Errors -------------------------------------------------------------------------------------------------------


def without_kernel_frames(error):
    """Takes this program's frames, and what is between them and the user's code, off an error and all it chains to."""
    todo = [error]
    seen = set()
    while todo:
        error = todo.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        error.__traceback__ = users_part(error.__traceback__)
        todo += [error.__cause__, error.__context__]
        members = getattr(error, "exceptions", None)  # Of an ExceptionGroup.
        if isinstance(members, tuple):
            todo += [member for member in members if isinstance(member, BaseException)]


def users_part(frames):
    kept = []
    while frames is not None:
        kept.append(frames)
        frames = frames.tb_next
    files = [entry.tb_frame.f_code.co_filename for entry in kept]
    if files and files[0] == KERNEL_FILE:
        # What runs a coroutine stands between this program and the user's code.
        start = next((at for at, file in enumerate(files) if file in sources.names), len(files))
        kept = kept[start:]
    kept = [entry for entry in kept if entry.tb_frame.f_code.co_filename != KERNEL_FILE]
    for entry, following in zip(kept, kept[1:] + [None]):
        entry.tb_next = following
    return kept[0] if kept else None


def traceback_lines(error):
    try:
        without_kernel_frames(error)
        chunks = traceback.format_exception(type(error), error, error.__traceback__)
        lines = "".join(chunks).rstrip("\n").split("\n")
    except Exception:  # Of the error's own methods, mostly.
        lines = ["%s: %s" % (type(error).__name__, text_of(error))]
    if len(lines) > MAX_TRACEBACK_LINES:
        half = MAX_TRACEBACK_LINES // 2
        left_out = len(lines) - 2 * half
        lines = lines[:half] + ["  [%d lines left out]" % left_out] + lines[-half:]
    return lines


def text_of(error):
    try:
        return str.__str__(str(error))
    except Exception:
        return "<no text: str() of the error failed>"


def report(run_id, error):
    """Writes an error to standard error, then tells the host."""
    kind = type(error)
    value = text_of(error)
    if isinstance(error, SystemExit):
        status = error.code
        lines = ["SystemExit: %s" % value if isinstance(status, int) else value]
        write_error(lines)
    else:
        lines = traceback_lines(error)
        if not users_hook(error):
            write_error(lines)
    streams.flush()
    control.send(
        {
            "type": "error",
            "id": run_id,
            "error": {"name": kind.__name__, "value": value, "traceback": lines},
        }
    )


def users_hook(error):
    """Lets an excepthook of the user's show the error, as the interpreter does."""
    if sys.excepthook is sys.__excepthook__:
        return False
    try:
        sys.excepthook(type(error), error, error.__traceback__)
        return True
    except BaseException:
        return False


def write_error(lines):
    try:
        streams.stderr.write("\n".join(lines) + "\n")
    except Exception:
        pass  # Closed; the message to the host has it, too.


# ---- Running code -------------------------------------------------------------------------------------------------


class Sources:
    """The code of runs, for tracebacks and inspect.getsource."""

    def __init__(self):
        self.count = 0
        self.names = set()
        self.order = collections.deque()

    def add(self, code):
        self.count += 1
        name = "<code %d>" % self.count
        # Without a time of change: linecache never looks for a file of this name.
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        self.names.add(name)
        self.order.append(name)
        if len(self.order) > MAX_SOURCES:
            oldest = self.order.popleft()
            self.names.discard(oldest)
            linecache.cache.pop(oldest, None)
        return name


class Runner:
    """Compiles code and executes it, statement by statement, in the namespace of `__main__`."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.future_flags = 0
        # The statement that runs is an expression, and the last: its value is the last thing that it gives.
        self.is_at_last = False
        self.loop = None

    def compile(self, code):
        """All statements at once, so that nothing runs when one of them is wrong; and if the last is an expression."""
        name = sources.add(code)
        flags = self.future_flags | ALLOW_TOP_LEVEL_AWAIT
        tree = compile(code, name, "exec", flags | ast.PyCF_ONLY_AST, True)
        if len(tree.body) > 1:
            self.check(tree, name, flags)
        flags |= self.future_flags
        if len(tree.body) == 1 and "\n" not in code:
            # Reading it again takes less time than what makes code of the tree.
            statements = [compile(code + "\n", name, "single", flags, True)]
        else:
            statements = [
                compile(ast.Interactive(body=[statement]), name, "single", flags, True)
                for statement in tree.body
            ]
        for statement in statements:
            self.future_flags |= statement.co_flags & FUTURE_FLAGS
        return statements, bool(tree.body) and isinstance(tree.body[-1], ast.Expr)

    def check(self, tree, name, flags):
        with warnings.catch_warnings():
            # What is only wrong as a whole; warnings come when the statements are compiled.
            warnings.simplefilter("ignore")
            self.future_flags |= compile(tree, name, "exec", flags, True).co_flags & FUTURE_FLAGS

    def run(self, code, held_back):
        self.is_at_last = False
        if held_back:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, held_back)
        statements, ends_with_value = self.compile(code)
        # Where the user's code removed it, exec() would put this program's own copy in its place.
        self.namespace.setdefault("__builtins__", builtins)
        for number, statement in enumerate(statements, 1):
            self.is_at_last = ends_with_value and number == len(statements)
            if statement.co_flags & CO_COROUTINE:
                self.run_coroutine(eval(statement, self.namespace))
            else:
                exec(statement, self.namespace)

    def run_coroutine(self, coroutine):
        """Top-level await: one event loop for all runs, which turns only while a statement awaits."""
        import asyncio

        if self.loop is None or self.loop.is_closed():
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
            let_signals_wake(self.loop)
        task = None
        try:
            with Shield():
                task = self.loop.create_task(coroutine)
                interrupts.await_in(self.loop, task)
            self.loop.run_until_complete(task)
        except (KeyboardInterrupt, SystemExit) as interrupt:
            if task is None:
                coroutine.close()
                raise
            if task.done():
                # Looked at, or asyncio complains that nobody did.
                task.cancelled() or task.exception()
                raise
            task.cancel()
            try:
                self.loop.run_until_complete(task)
            except asyncio.CancelledError as cancelled:
                # Where the code waited tells more than where the loop did.
                raise interrupt.with_traceback(cancelled.__traceback__) from None
            raise
        except asyncio.CancelledError as cancelled:
            if interrupts.has_cancelled:
                raise KeyboardInterrupt().with_traceback(cancelled.__traceback__) from None
            raise
        finally:
            interrupts.await_in(None, None)
        if interrupts.has_cancelled:
            raise KeyboardInterrupt


def let_signals_wake(loop):
    """
    A signal that arrives right before the loop waits would be looked at when that has ended: it wakes the loop, as
    asyncio has it for signals of its own (`loop.add_signal_handler`).
    """
    socket = getattr(loop, "_csock", None)
    if socket is not None:
        _signal.set_wakeup_fd(socket.fileno(), warn_on_full_buffer=False)


def run_once(run_id, code, held_back):
    """One run, from the host's message to the one that ends it. Forked children of the code end here."""
    interrupts.pending = interrupts.happened = False
    order.begin_run()
    pace.begin_run()
    prepare()
    try:
        error = execute(code, held_back)
    except BaseException as raised:
        error = raised  # By a handler that the user's code set for a signal, between its code and ours.
    held_back = insist(hold_back_signals)
    # Ours to be deep enough for what follows, whatever the user's code set.
    if sys.getrecursionlimit() < DEFAULT_RECURSION_LIMIT:
        sys.setrecursionlimit(DEFAULT_RECURSION_LIMIT)
    sys.settrace(None)
    sys.setprofile(None)
    if not in_kernel_process():
        end_child(error)
    insist(streams.flush)
    # What else the code may have broken, the next run finds out before it begins.
    insist(prepare if error is not None else put_back)
    reason = insist(lambda: finish(run_id, error)) or "exception"
    insist(lambda: control.send({"type": "end", "id": run_id, "reason": reason}))
    return held_back


def execute(code, held_back):
    """Runs code, for which the signals are let through that were held back since the run before."""
    error = guard(lambda: runner.run(code, held_back))
    if error is None and "matplotlib.pyplot" in sys.modules:
        control.flush()
        error = guard(show_figures)
    return error


HANDLED_SIGNALS = [int(number) for number in signal.valid_signals() if number != signal.SIGINT]


def hold_back_signals():
    """Handlers of the user's run in the user's code only: one that raises must not cost the host the run's end."""
    handlers = list(map(_signal.getsignal, HANDLED_SIGNALS))
    held_back = [number for number, handler in zip(HANDLED_SIGNALS, handlers) if callable(handler)]
    if held_back:
        signal.pthread_sigmask(signal.SIG_BLOCK, held_back)
    return held_back


def insist(action):
    """A handler that the user's code set for a signal can raise anywhere: an end is reported all the same."""
    for _attempt in range(5):
        try:
            return action()
        except BaseException:
            continue
    return None


def finish(run_id, error):
    """Reports what ended the run and returns the reason for the host."""
    if error is None:
        return "completed"
    if isinstance(error, SystemExit) and (error.code is None or error.code == 0):
        return "completed"
    if isinstance(error, KeyboardInterrupt) and interrupts.happened:
        report(run_id, error)
        return "interrupted"
    report(run_id, error)
    return "exception"


def prepare():
    """What each run can rely on: streams that write, and handlers that are ours."""
    streams.restore_descriptors()
    put_back()


def put_back():
    """Ours in the place of what the user's code put there."""
    streams.restore_names()
    sys.displayhook = displayhook
    try:
        interrupts.install()
    except ValueError:
        pass  # Embedded in what is not the main thread of anything: never so in a kernel.


def end_child(error):
    """A forked child that came to the end of the code, as it would come to the end of a script."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        if status == 1 and not isinstance(error.code, int):
            write_error([text_of(error)])
    elif error is not None:
        status = 1
        write_error(traceback_lines(error))
    streams.flush()
    os._exit(status & 0xFF)


def before_fork():
    """
    What was printed comes before what the child prints. The thread that shows gathered output must not have, or wait for,
    the lock of a buffer meanwhile: the child would find it locked for ever.
    """
    with Shield():
        pace.hold()
        streams.flush_bytes()


def after_fork_in_child():
    # The thread that held it may not exist here.
    control.lock = _thread.allocate_lock()
    control.held = b""
    close_quietly(control.fd)
    pace.stop()
    streams.leave_to_child()


def before_event(event, _arguments):
    """What was printed before a child starts is out before that writes."""
    if event in OUTPUT_FIRST_EVENTS and pace.is_gathering and in_kernel_process():
        streams.flush_bytes()


def end_process():
    """The host is gone."""
    interrupts.shielded = True
    try:
        import atexit

        atexit._run_exitfuncs()
    except BaseException:
        pass
    streams.flush()
    os._exit(0)


def main():
    held_back = None
    control.start()
    control.send({"type": "ready", "version": "%d.%d.%d" % sys.version_info[:3]})
    while True:
        try:
            run = control.runs.get()
        except BaseException:
            continue  # Raised by a handler that the user's code set for a signal.
        if run is None:
            end_process()
        if run is RESEED:
            reseed()
            continue
        held_back = run_once(*run, held_back or [])


main_thread = _thread.get_ident()
interrupts = Interrupts()
order = WriteOrder()
pace = Pace()
streams = StandardStreams()
control = Control(control_fd)  # noqa: F821 (of the stub)
sources = Sources()

user_module = sys.modules["__main__"]
for own_name in ("os", "sys", "fd", "size", "source", "chunk"):
    user_module.__dict__.pop(own_name, None)
runner = Runner(user_module.__dict__)

builtins.display = display
sys.argv = [""]
sys.path.insert(0, "")
sys.meta_path.insert(0, MatplotlibFinder())
os.register_at_fork(
    before=before_fork, after_in_parent=pace.let_go, after_in_child=after_fork_in_child
)
sys.addaudithook(before_event)
# The thread that reads the control channel is no reason to warn of a fork.
warnings.filterwarnings("ignore", r"This process .* is multi-threaded, use of ", DeprecationWarning)
prepare()
main()
