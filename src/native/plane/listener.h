// A portal's listening socket, and the accepting of it on one thread's ring.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "completion.h"

namespace rackboot {

class Worker;

class Listener final : public Completion {
 public:
  /// Binds and listens; returns null with an errno and a sentence.
  static Listener* open(uint32_t portal, const std::string& address, uint16_t port, int& error, std::string& message);
  ~Listener();

  uint16_t port() const { return port_; }
  uint32_t portal() const { return portal_; }
  /// On the worker's thread. It deletes itself after stop(), when the ring has let go of it.
  void start(Worker& worker);
  /// From any thread: no connection is accepted any more.
  void stop();

  void completed(int result, bool more) override;

 private:
  Listener(uint32_t portal, int fd, uint16_t port) : portal_(portal), fd_(fd), port_(port) {}
  void arm();

  const uint32_t portal_;
  const int fd_;
  const uint16_t port_;
  Worker* worker_ = nullptr;
  std::atomic<bool> stopped_{false};
  bool multishot_ = false;
  bool pausing_ = false;
};

}  // namespace rackboot
