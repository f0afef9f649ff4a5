// The hardware watchdog (linux/Documentation/watchdog/watchdog-api): the board starts anew where it is not fed.
#pragma once

#include <cstdint>
#include <string>

namespace rackboot::supervise {

class Watchdog {
 public:
  // `path` empty, or of a device that is not there: there is none.
  explicit Watchdog(const std::string& path);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  [[nodiscard]] bool present() const { return device_ >= 0; }
  // Feeds it when a third of its time is over.
  void feed(int64_t now);
  // It is not disarmed: a shutdown that hangs ends as well. It gets the longest time it can.
  void leave();

 private:
  int device_ = -1;
  int64_t every_ = 0;
  int64_t fed_ = INT64_MIN / 2;
};

}  // namespace rackboot::supervise
