#include "addon/micro_vm.h"

#include <cerrno>
#include <climits>
#include <csignal>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "addon/napi_error.h"
#include "addon/process_monitor.h"
#include "addon/process_watch.h"
#include "addon/vmm_spawn.h"
#include "base/process_identity.h"

namespace msb::addon {
namespace {

struct Event {
  std::string line;
  // Set for the last event, which has no line.
  std::optional<ProcessExit> exit;
};

struct JsSide;
void CallJs(Napi::Env env, Napi::Function on_event, JsSide* side, Event* event);
using EventFunction = Napi::TypedThreadSafeFunction<JsSide, Event, CallJs>;

// Carries events from the monitor's thread to the environment that started the VM, for as long as
// that exists.
class EventCarrier : public ProcessListener {
 public:
  void Open(EventFunction function) { function_ = function; }

  void OnLine(std::string line) override { Send({std::move(line), std::nullopt}); }
  void OnExit(const ProcessExit& exit) override {
    Send({"", exit});
    Close(/*release=*/true);
  }

  // With `release` false the environment is ending and takes the function down by itself.
  void Close(bool release) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_closed_) return;
    is_closed_ = true;
    if (release) function_.Release();
  }

  // On the environment's thread: does the VM keep its event loop running?
  void Hold(Napi::Env env, bool hold) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_closed_) return;
    if (hold) {
      function_.Ref(env);
    } else {
      function_.Unref(env);
    }
  }

 private:
  void Send(Event event) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_closed_) return;
    auto* const sent = new Event(std::move(event));
    if (function_.NonBlockingCall(sent) == napi_ok) return;
    // The environment is ending.
    delete sent;
    is_closed_ = true;
  }

  std::mutex mutex_;
  bool is_closed_ = false;
  EventFunction function_;
};

// Belongs to the environment's thread; lives as long as the thread-safe function.
struct JsSide {
  Napi::Promise::Deferred exited;
  std::shared_ptr<EventCarrier> carrier;
  std::shared_ptr<MonitoredProcess> process;
};

Napi::Value ToValue(Napi::Env env, const std::optional<int>& number) {
  return number.has_value() ? Napi::Value(Napi::Number::New(env, *number)) : env.Null();
}

void CallJs(Napi::Env env, Napi::Function on_event, JsSide* side, Event* event) {
  const std::unique_ptr<Event> owned(event);
  if (static_cast<napi_env>(env) == nullptr) return;
  if (!event->exit.has_value()) {
    on_event.Call({Napi::String::New(env, event->line)});
    // Left pending, Node would only warn of it.
    if (env.IsExceptionPending())
      napi_fatal_exception(env, env.GetAndClearPendingException().Value());
    return;
  }
  Napi::Object exit = Napi::Object::New(env);
  exit.Set("exitCode", ToValue(env, event->exit->exit_code));
  exit.Set("signal", ToValue(env, event->exit->signal));
  side->exited.Resolve(exit);
}

// Also runs when the environment ends before the VM does, as with a terminated Worker: the VM loses
// its owner.
void FinalizeJsSide(Napi::Env, void*, JsSide* side) {
  side->carrier->Close(/*release=*/false);
  if (side->process != nullptr) side->process->CloseLifeline();
  delete side;
}

std::optional<int> SignalNumber(const Napi::Value& value) {
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (number >= 0 && number < NSIG && number == static_cast<int>(number))
      return static_cast<int>(number);
    return std::nullopt;
  }
  if (!value.IsString()) return std::nullopt;
  const std::string name = value.As<Napi::String>().Utf8Value();
  if (name == "SIGTERM") return SIGTERM;
  if (name == "SIGKILL") return SIGKILL;
  if (name == "SIGINT") return SIGINT;
  if (name == "SIGHUP") return SIGHUP;
  if (name == "SIGSTOP") return SIGSTOP;
  if (name == "SIGCONT") return SIGCONT;
  return std::nullopt;
}

Napi::Object MakeHandle(Napi::Env env, const JsSide& side) {
  const std::shared_ptr<MonitoredProcess> process = side.process;
  const std::shared_ptr<EventCarrier> carrier = side.carrier;
  const auto kill = [process](const Napi::CallbackInfo& info) -> Napi::Value {
    const std::optional<int> number = SignalNumber(info[0]);
    if (!number.has_value()) {
      ThrowArgument(info.Env(),
                    "kill: the signal must be a number or SIGTERM, SIGKILL, SIGINT, SIGHUP, "
                    "SIGSTOP, SIGCONT");
      return info.Env().Undefined();
    }
    return Napi::Boolean::New(info.Env(), process->Kill(*number));
  };
  const auto hold = [carrier](const Napi::CallbackInfo& info) { carrier->Hold(info.Env(), true); };
  const auto let_go = [carrier](const Napi::CallbackInfo& info) {
    carrier->Hold(info.Env(), false);
  };
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("pid", Napi::Number::New(env, process->pid()));
  handle.Set("exited", side.exited.Promise());
  handle.Set("kill", Napi::Function::New(env, kill, "kill"));
  handle.Set("ref", Napi::Function::New(env, hold, "ref"));
  handle.Set("unref", Napi::Function::New(env, let_go, "unref"));
  handle.Set("release", Napi::Function::New(env, let_go, "release"));
  return handle;
}

bool GetString(const Napi::Object& object, const char* key, std::string* value) {
  const Napi::Value member = object.Get(key);
  if (!member.IsString()) return false;
  *value = member.As<Napi::String>().Utf8Value();
  return true;
}

// Descriptors of open files; none when the member is missing.
bool ParseFiles(const Napi::Object& object, std::vector<int>* files) {
  const Napi::Value member = object.Get("files");
  if (member.IsUndefined()) return true;
  if (!member.IsArray()) return false;
  const Napi::Array array = member.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value entry = array.Get(i);
    const double number = entry.IsNumber() ? entry.As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= 0 && number <= INT_MAX && number == static_cast<int>(number))) return false;
    files->push_back(static_cast<int>(number));
  }
  return true;
}

// False with a pending exception when the argument is not what binding.ts promises.
bool ParseRequest(const Napi::Value& argument, VmmRequest* request) {
  const Napi::Env env = argument.Env();
  if (!argument.IsObject())
    return ThrowArgument(env, "bootMicroVm: the request must be an object"), false;
  const Napi::Object object = argument.As<Napi::Object>();
  if (!GetString(object, "vmmPath", &request->vmm_path) || request->vmm_path.empty() ||
      request->vmm_path.front() != '/' || request->vmm_path.find('\0') != std::string::npos) {
    return ThrowArgument(env, "bootMicroVm: vmmPath must be an absolute path"), false;
  }
  if (!GetString(object, "config", &request->config)) {
    return ThrowArgument(env, "bootMicroVm: config must be a string"), false;
  }
  const Napi::Value detached = object.Get("detached");
  if (!detached.IsBoolean())
    return ThrowArgument(env, "bootMicroVm: detached must be a boolean"), false;
  request->detached = detached.As<Napi::Boolean>().Value();
  if (!object.Get("reportPath").IsUndefined() &&
      (!GetString(object, "reportPath", &request->report_path) || request->report_path.empty())) {
    return ThrowArgument(env, "bootMicroVm: reportPath must be a path"), false;
  }
  const Napi::Value channels = object.Get("channels");
  if (!channels.IsArray())
    return ThrowArgument(env, "bootMicroVm: channels must be an array"), false;
  const Napi::Array array = channels.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value entry = array.Get(i);
    ChannelSocket channel;
    if (!entry.IsObject() || !GetString(entry.As<Napi::Object>(), "name", &channel.name) ||
        !GetString(entry.As<Napi::Object>(), "socketPath", &channel.path)) {
      return ThrowArgument(env,
                           "bootMicroVm: each channel must have the strings name and socketPath"),
             false;
    }
    request->channels.push_back(std::move(channel));
  }
  if (!ParseFiles(object, &request->files)) {
    return ThrowArgument(env, "bootMicroVm: files must be an array of file descriptors"), false;
  }
  return !env.IsExceptionPending();
}

// Pids are positive; anything else is refused with a pending exception.
std::optional<pid_t> ParsePid(const Napi::Env env, const Napi::Value& value, const char* caller) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  if (number >= 1 && number <= INT_MAX && number == static_cast<int>(number))
    return static_cast<pid_t>(number);
  ThrowArgument(env, std::string(caller) + ": pid must be a whole number from 1 on");
  return std::nullopt;
}

Status NoMonitor() {
  return Status::Error("pthread_create", EAGAIN, "cannot start the monitor's thread");
}

// The handle of a supervisor, whose end and whose report's lines are told from now on. Undefined
// with a pending exception when the environment is ending.
Napi::Value StartWatching(Napi::Env env, ProcessMonitor* monitor, VmmProcess process,
                          Napi::Function on_event) {
  auto carrier = std::make_shared<EventCarrier>();
  auto* const side = new JsSide{Napi::Promise::Deferred::New(env), carrier, nullptr};
  side->process = std::make_shared<MonitoredProcess>(std::move(process), carrier);
  EventFunction function = EventFunction::New(env, on_event, "msb-vmm report", 0, 1, side,
                                              FinalizeJsSide, static_cast<void*>(nullptr));
  if (env.IsExceptionPending()) {
    carrier->Close(/*release=*/false);
    if (side->process->is_child()) {
      // No one could hear of the VM; the monitor still reaps what the closed lifeline ends.
      side->process->Kill(SIGKILL);
      monitor->Watch(side->process);
    }
    delete side;
    return env.Undefined();
  }
  carrier->Open(function);
  const Napi::Object handle = MakeHandle(env, *side);
  // Last: from here on the monitor may end the function, and `side` with it, at the next turn of
  // the event loop.
  monitor->Watch(side->process);
  return handle;
}

}  // namespace

Napi::Value BootMicroVm(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  VmmRequest request;
  if (!ParseRequest(info[0], &request)) return env.Undefined();
  if (!info[1].IsFunction()) {
    ThrowArgument(env, "bootMicroVm: onEvent must be a function");
    return env.Undefined();
  }
  ProcessMonitor* const monitor = ProcessMonitor::Get();
  StatusOr<VmmProcess> process = monitor == nullptr ? NoMonitor() : SpawnVmm(request);
  if (!process.ok()) {
    ToError(env, process.status()).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  return StartWatching(env, monitor, std::move(process.value()), info[1].As<Napi::Function>());
}

Napi::Value WatchMicroVm(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<pid_t> pid = ParsePid(env, info[0], "watchMicroVm");
  if (!pid.has_value()) return env.Undefined();
  if (!info[1].IsString()) {
    ThrowArgument(env, "watchMicroVm: startTime must be a string");
    return env.Undefined();
  }
  ProcessMonitor* const monitor = ProcessMonitor::Get();
  StatusOr<std::optional<VmmProcess>> process =
      monitor == nullptr ? NoMonitor() : OpenVmm(*pid, info[1].As<Napi::String>().Utf8Value());
  if (!process.ok()) {
    ToError(env, process.status()).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  if (!process.value().has_value()) return env.Null();
  // Its report went to the process that started it, so no line will come.
  const Napi::Function no_line = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
  return StartWatching(env, monitor, std::move(*process.value()), no_line);
}

Napi::Value StartTimeOfProcess(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<pid_t> pid = ParsePid(env, info[0], "processStartTime");
  if (!pid.has_value()) return env.Undefined();
  const StatusOr<std::string> start_time = ProcessStartTime(*pid);
  if (start_time.ok()) return Napi::String::New(env, start_time.value());
  if (start_time.status().error_number() == ESRCH) return env.Null();
  ToError(env, start_time.status()).ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace msb::addon
