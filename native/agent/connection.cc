#include "agent/connection.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>

#include "agent/clock.h"

namespace msb::agent {
namespace {

constexpr std::string_view kPreambleMagic("\0\0\0\0msb-sync\r\n\x1a\n", 16);
// The kernel gives one virtqueue buffer (4 KiB) a read and takes 32 KiB a write.
constexpr size_t kReadBytes = 16 * 1024;
// Data frames are added only while less than this is unsent, so control frames never wait long.
constexpr size_t kRefillBytes = 64 * 1024;
// Replies that the host does not take; beyond this its requests wait, too.
constexpr size_t kMaxUnsentBytes = 4 * 1024 * 1024;
// What is read in one turn of the event loop.
constexpr size_t kReadBudgetBytes = 256 * 1024;

uint64_t ReadU64(std::string_view bytes, size_t offset) {
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
  return value;
}

void AppendU64(uint64_t value, std::string* out) {
  for (int shift = 0; shift < 64; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

}  // namespace

Status Connection::Open(UniqueFd port) {
  port_ = std::move(port);
  // A port without a host reports EPOLLHUP all the time, so only changes are of interest.
  MSB_RETURN_IF_ERROR(loop_->Add(
      port_.get(), EPOLLIN | EPOLLOUT | EPOLLET, [this](uint32_t) { OnPortEvents(); }, &watch_));
  return {};
}

void Connection::SendMessage(uint32_t stream, const Json& message) {
  if (!connected_) return;
  std::string payload = message.Serialize();
  if (payload.size() > kMaxPayloadBytes) {
    // No message of ours gets near; a reply must come all the same.
    const Json* id = message.Find("id");
    if (id == nullptr) return;
    payload = Reply::Error("limit", "the reply is too long").ToJson(*id->AsInt()).Serialize();
  }
  AppendFrame({.type = FrameType::kControl, .stream = stream, .payload = payload}, &tx_);
  ScheduleFlush();
}

void Connection::SendCredit(uint32_t stream, uint64_t consumed, uint64_t limit) {
  if (!connected_) return;
  std::string payload;
  AppendU64(consumed, &payload);
  AppendU64(limit, &payload);
  AppendFrame({.type = FrameType::kCredit, .stream = stream, .payload = payload}, &tx_);
  ScheduleFlush();
}

void Connection::MarkReady(StreamSource* source) {
  if (!connected_ || !source->HasFrame()) return;
  if (std::find(ready_.begin(), ready_.end(), source) == ready_.end()) ready_.push_back(source);
  ScheduleFlush();
}

void Connection::Forget(StreamSource* source) { std::erase(ready_, source); }

void Connection::Drain(int64_t timeout_ms) {
  const int64_t deadline = MonotonicMs() + timeout_ms;
  while (unsent() > 0) {
    Flush();
    const int64_t left = deadline - MonotonicMs();
    if (unsent() == 0 || left <= 0) return;
    pollfd port = {port_.get(), POLLOUT, 0};
    poll(&port, 1, static_cast<int>(std::min<int64_t>(left, 10)));
  }
}

void Connection::OnPortEvents() {
  ReadPort();
  Flush();
}

void Connection::ReadPort() {
  char buffer[kReadBytes];
  size_t total = 0;
  while (total < kReadBudgetBytes) {
    reading_paused_ = unsent() > kMaxUnsentBytes;
    if (reading_paused_) return;
    const ssize_t count = read(port_.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    // 0: there is no host now. Either way the next change wakes us.
    if (count <= 0) return;
    total += static_cast<size_t>(count);
    decoder_.Feed(std::string_view(buffer, static_cast<size_t>(count)));
    ReadFrames();
  }
  loop_->Defer([this] { OnPortEvents(); });
}

void Connection::ReadFrames() {
  Frame frame;
  bool resynced = false;
  while (decoder_.Next(&frame, &resynced)) {
    if (resynced) LoseSync();
    if (!TakeFrame(frame)) {
      decoder_.Resync();
      LoseSync();
    }
  }
  if (resynced) LoseSync();
}

void Connection::LoseSync() {
  connected_ = false;
  ready_.clear();
}

bool Connection::TakeFrame(const Frame& frame) {
  if (frame.type == FrameType::kControl) return TakeControl(frame);
  if (!connected_) return true;
  if (frame.type == FrameType::kData) return delegate_->OnData(frame);
  const uint64_t consumed = ReadU64(frame.payload, 0);
  const uint64_t limit = ReadU64(frame.payload, 8);
  if (limit < consumed || limit > static_cast<uint64_t>(kMaxSafeInteger)) return false;
  return delegate_->OnCredit(frame.stream, consumed, limit);
}

bool Connection::TakeControl(const Frame& frame) {
  StatusOr<Json> parsed = Json::Parse(frame.payload, kMaxPayloadBytes);
  if (!parsed.ok() || parsed.value().AsObject() == nullptr) return false;
  const Json& message = parsed.value();
  const Json* type = message.Find("type");
  const bool is_hello = frame.stream == 0 && type != nullptr && type->AsString() != nullptr &&
                        *type->AsString() == "hello";
  if (is_hello) {
    TakeHello(message);
  } else if (connected_) {
    delegate_->OnMessage(frame.stream, message);
  }
  return true;
}

void Connection::TakeHello(const Json& message) {
  StatusOr<HelloRequest> parsed = ParseHello(message);
  // Without a session there is no preamble, and without that the host would not see an answer.
  if (!parsed.ok()) return;
  const HelloRequest& hello = parsed.value();
  connected_ = true;
  ++epoch_;
  ready_.clear();
  tx_.assign(kPreambleMagic);
  tx_.append(hello.session);
  tx_sent_ = 0;
  Json::Object fields;
  delegate_->OnHello(&fields);
  if (hello.generation != kGeneration) {
    Json::Object error = *Reply::Error("generation", "the guest agent is of another generation")
                              .ToJson(hello.id)
                              .AsObject();
    error["generation"] = kGeneration;
    SendMessage(0, error);
    LoseSync();
  } else if (!nonce_.empty() && nonce_ != hello.nonce) {
    SendMessage(0, Reply::Error("nonce", "the nonce is not that of this boot").ToJson(hello.id));
    LoseSync();
  } else {
    nonce_ = hello.nonce;
    fields["generation"] = kGeneration;
    fields["agentVersion"] = kAgentVersion;
    SendMessage(0, Reply::Ok(std::move(fields)).ToJson(hello.id));
  }
}

void Connection::ScheduleFlush() {
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  loop_->Defer([this] { Flush(); });
}

void Connection::Flush() {
  flush_scheduled_ = false;
  while (true) {
    Refill();
    if (unsent() == 0) break;
    const ssize_t count = write(port_.get(), tx_.data() + tx_sent_, unsent());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    tx_sent_ += static_cast<size_t>(count);
  }
  if (tx_sent_ == tx_.size()) {
    tx_.clear();
    tx_sent_ = 0;
  }
  if (reading_paused_ && unsent() < kMaxUnsentBytes) loop_->Defer([this] { OnPortEvents(); });
}

void Connection::Refill() {
  while (connected_ && unsent() < kRefillBytes && !ready_.empty()) {
    if (tx_sent_ >= kRefillBytes) {
      tx_.erase(0, tx_sent_);
      tx_sent_ = 0;
    }
    StreamSource* source = ready_.front();
    ready_.pop_front();
    if (!source->HasFrame()) continue;
    source->AppendFrame(&tx_);
    MarkReady(source);
  }
}

}  // namespace msb::agent
