// A file on its way to one peer, on the thread of a FileSender.
#pragma once

#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace rackboot {

/// See DeliveryEvent in src/native/file-sender.ts.
enum class DeliveryEventKind : uint8_t { began, progressed, finished, probed, failed, malformed };
struct DeliveryEvent {
  DeliveryEventKind kind;
  uint32_t delivery;
  uint64_t sentBytes = 0;
  std::string reason;
  std::string peer;
};

/// CLOCK_MONOTONIC, milliseconds.
inline double monotonicMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

/// What deliveries of one thread have in common: a clock read once a round, scratch memory, and events that go up together.
struct DeliveryRound {
  double nowMs = 0;
  /// There is one delivery and no other: the thread's spare time is its own.
  bool isAlone = false;
  std::vector<uint8_t> scratch;
  /// The delivery that wrote into it last.
  uint32_t scratchOwner = 0;
  std::vector<DeliveryEvent> events;
};

class Delivery {
 public:
  static constexpr double kNever = std::numeric_limits<double>::infinity();
  /// No delivery tells of its progress more often than this.
  static constexpr double kProgressMs = 250;

  Delivery(uint32_t id, DeliveryRound& round) : id_(id), round_(round) {}
  virtual ~Delivery() = default;
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  virtual void begin() = 0;
  /// Called when the socket can be read or written or has an error, and when it is looked at in case. Returns whether there was work.
  virtual bool ready() = 0;
  /// `deadlineMs` has come.
  virtual void timeout() = 0;
  /// Ends it from our side. Tells nobody up there: whoever calls this knows.
  virtual void abort(const std::string& reason) = 0;

  /// Descriptor to wait on.
  virtual int socket() const = 0;
  /// Waits until the socket can be written; otherwise until it can be read.
  virtual bool wantsToWrite() const = 0;

  uint32_t id() const { return id_; }
  bool isOver() const { return over_; }
  double deadlineMs() const { return deadlineMs_; }

 protected:
  void tell(DeliveryEventKind kind, uint64_t sentBytes, std::string reason = {}, std::string peer = {}) {
    round_.events.push_back({kind, id_, sentBytes, std::move(reason), std::move(peer)});
  }
  void tellProgress(uint64_t sentBytes) {
    if (round_.nowMs - toldMs_ < kProgressMs) return;
    toldMs_ = round_.nowMs;
    tell(DeliveryEventKind::progressed, sentBytes);
  }

  const uint32_t id_;
  DeliveryRound& round_;
  bool over_ = false;
  double deadlineMs_ = kNever;

 private:
  double toldMs_ = -kProgressMs;
};

/// A descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace rackboot
