// Messages to one thread from any other: with the turnstile of COMPARE AND WRITE, the only place where the plane takes a lock.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <vector>

namespace rackboot {

class Worker;
using Message = std::function<void(Worker&)>;

class Mailbox {
 public:
  Mailbox() : bell_(eventfd(0, EFD_CLOEXEC)) {}
  ~Mailbox() { close(bell_); }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// A descriptor whose eight octets become readable when there is something to take.
  int bell() const { return bell_; }

  void post(Message message) {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      first = messages_.empty();
      messages_.push_back(std::move(message));
    }
    if (first) eventfd_write(bell_, 1);
  }
  std::vector<Message> take() {
    std::vector<Message> out;
    const std::lock_guard lock(mutex_);
    out.swap(messages_);
    return out;
  }

 private:
  const int bell_;
  std::mutex mutex_;
  std::vector<Message> messages_;
};

}  // namespace rackboot
