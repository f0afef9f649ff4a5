// The FAULT lamp while there is no daemon to show it: fault 6, "a service has stopped", by numbered blinks.
#pragma once

#include <cstdint>
#include <string>

namespace rackboot::supervise {

class Lamp {
 public:
  // `path`: the `value` of a GPIO line or the `brightness` of a LED in sysfs; empty: there is no lamp.
  Lamp(std::string path, bool active_low) : path_(std::move(path)), active_low_(active_low) {}

  // Call several times in each blink. `now` in milliseconds.
  void blink(int64_t now);
  // Gives it back to the daemon, dark, if it was taken.
  void release();

 private:
  void write(bool on);

  std::string path_;
  bool active_low_;
  bool taken_ = false;
  bool on_ = false;
  int64_t since_ = 0;
};

}  // namespace rackboot::supervise
