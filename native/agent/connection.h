#ifndef MSB_AGENT_CONNECTION_H_
#define MSB_AGENT_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "agent/event_loop.h"
#include "agent/messages.h"
#include "base/frame.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::agent {

// Something with data frames to send. The connection asks its sources in turn, one frame each.
class StreamSource {
 public:
  virtual ~StreamSource() = default;
  // Whether data, credit and the state of the stream allow a frame now.
  virtual bool HasFrame() const = 0;
  // Appends one frame; may find that there is none after all. The source may retire itself.
  virtual void AppendFrame(std::string* tx) = 0;
};

// The guest's end of the carrier: hello, resync, preamble, frames in and out. What the frames mean
// is the delegate's business.
class Connection {
 public:
  class Delegate {
   public:
    virtual ~Delegate() = default;
    // A new connection replaced the earlier one, if any; adds to the reply to `hello`.
    virtual void OnHello(Json::Object* reply) = 0;
    virtual void OnMessage(uint32_t stream, const Json& message) = 0;
    // False is a protocol error.
    virtual bool OnData(const Frame& frame) = 0;
    virtual bool OnCredit(uint32_t stream, uint64_t consumed, uint64_t limit) = 0;
  };

  Connection(EventLoop* loop, Delegate* delegate) : loop_(loop), delegate_(delegate) {}

  Status Open(UniqueFd port);

  // Both are dropped while no host has said hello.
  void SendMessage(uint32_t stream, const Json& message);
  void SendCredit(uint32_t stream, uint64_t consumed, uint64_t limit);

  // From the next connection on no other is accepted.
  void ReplaceNonce(std::string nonce) { nonce_ = std::move(nonce); }

  // Counts connections, so that a reply is not sent to a host that did not ask.
  uint64_t epoch() const { return epoch_; }

  // `source` may have a frame now.
  void MarkReady(StreamSource* source);
  // Must be called before a source that was marked is destroyed.
  void Forget(StreamSource* source);

  // Waits until all messages are with the host, or the time is over.
  void Drain(int64_t timeout_ms);

 private:
  void OnPortEvents();
  void ReadPort();
  void ReadFrames();
  // False is a protocol error.
  bool TakeFrame(const Frame& frame);
  bool TakeControl(const Frame& frame);
  void TakeHello(const Json& message);
  void LoseSync();

  void ScheduleFlush();
  void Flush();
  void Refill();
  size_t unsent() const { return tx_.size() - tx_sent_; }

  EventLoop* const loop_;
  Delegate* const delegate_;
  UniqueFd port_;
  EventLoop::Watch watch_;
  FrameDecoder decoder_;
  std::string nonce_;
  bool connected_ = false;
  uint64_t epoch_ = 0;
  bool reading_paused_ = false;
  bool flush_scheduled_ = false;
  std::string tx_;
  size_t tx_sent_ = 0;
  std::deque<StreamSource*> ready_;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_CONNECTION_H_
