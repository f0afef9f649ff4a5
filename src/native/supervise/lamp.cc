#include "lamp.h"

#include <fcntl.h>
#include <unistd.h>

namespace rackboot::supervise {
namespace {

constexpr int kBlinks = 6;
constexpr int64_t kHalfBlink = 250;
constexpr int64_t kPause = 1'500;
constexpr int64_t kPeriod = 2 * kHalfBlink * kBlinks + kPause;

}  // namespace

void Lamp::blink(int64_t now) {
  if (path_.empty()) return;
  if (!taken_) since_ = now;
  const int64_t at = (now - since_) % kPeriod;
  const bool on = at < 2 * kHalfBlink * kBlinks && at / kHalfBlink % 2 == 0;
  if (taken_ && on == on_) return;
  taken_ = true;
  write(on);
}

void Lamp::release() {
  if (!taken_) return;
  taken_ = false;
  write(false);
}

// A lamp that cannot be written is no reason to serve worse.
void Lamp::write(bool on) {
  on_ = on;
  const int file = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  [[maybe_unused]] const ssize_t written = ::write(file, on != active_low_ ? "1" : "0", 1);
  close(file);
}

}  // namespace rackboot::supervise
