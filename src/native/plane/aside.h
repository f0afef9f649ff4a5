// One thread for system calls that neither io_uring nor a data thread can make without waiting.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace rackboot {

class Aside {
 public:
  Aside() = default;
  ~Aside() { stop(); }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

  /// Runs `work` after what came before it. From any thread.
  void post(std::function<void()> work);
  /// Everybody who posts has ended.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::thread thread_;  // from the first work on
};

}  // namespace rackboot
