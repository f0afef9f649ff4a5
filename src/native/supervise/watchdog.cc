#include "watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace rackboot::supervise {
namespace {

// A Pi's counts 15 seconds at most; others take more, and 60 is a shutdown with many disks.
constexpr int kSeconds = 15;
constexpr int kLastSeconds = 60;

}  // namespace

Watchdog::Watchdog(const std::string& path) : device_(path.empty() ? -1 : open(path.c_str(), O_WRONLY | O_CLOEXEC)) {
  if (device_ < 0) return;
  int seconds = kSeconds;
  // Where it cannot be set, it is what the driver says.
  if (ioctl(device_, WDIOC_SETTIMEOUT, &seconds) != 0 && ioctl(device_, WDIOC_GETTIMEOUT, &seconds) != 0) seconds = kSeconds;
  every_ = int64_t{seconds} * 1000 / 3;
}

void Watchdog::feed(int64_t now) {
  if (device_ < 0 || now - fed_ < every_) return;
  fed_ = now;
  [[maybe_unused]] const ssize_t written = write(device_, "\0", 1);
}

void Watchdog::leave() {
  if (device_ < 0) return;
  int seconds = kLastSeconds;
  ioctl(device_, WDIOC_SETTIMEOUT, &seconds);
  [[maybe_unused]] const ssize_t written = write(device_, "\0", 1);
  close(device_);
  device_ = -1;
}

}  // namespace rackboot::supervise
