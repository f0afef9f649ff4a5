// One thread that sends files, to many peers at once. No Node-API in here.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "files/delivery.h"
#include "files/stream-body.h"
#include "files/tftp-download.h"

namespace rackboot {

class DeliveryEventSink {
 public:
  /// From the sending thread.
  virtual void deliver(std::vector<DeliveryEvent>&& events) = 0;

 protected:
  ~DeliveryEventSink() = default;
};

/// Called on one thread (JavaScript's). Its own thread sleeps while there is nothing to send.
class FileSender {
 public:
  explicit FileSender(DeliveryEventSink& sink) : sink_(sink) {}
  /// It must have stopped.
  ~FileSender();
  FileSender(const FileSender&) = delete;
  FileSender& operator=(const FileSender&) = delete;

  /// Returns an errno and a sentence.
  int start(std::string& message);
  /// Return 0, or an errno and a sentence; then `id` has no events.
  int tftp(uint32_t id, const TftpSpec& spec, std::string& message);
  int stream(uint32_t id, const StreamSpec& spec, std::string& message);
  /// No event of `id` follows, but for those that are on their way.
  void abort(uint32_t id, std::string reason);
  /// Ends the thread and what it sends. Waits for it: some milliseconds at most, but for a disk that does not answer.
  void stop();

 private:
  using Order = std::function<void()>;

  void post(Order order);
  void run();
  void wait();
  bool mayLook(double nowMs);
  bool look();
  int poll(int timeoutMs);
  void takeOrders();
  void add(std::unique_ptr<Delivery> delivery);
  void timers();
  void settle(Delivery& delivery);
  void sweep();

  DeliveryEventSink& sink_;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<Order> orders_;  // guarded
  std::atomic<bool> stopping_{false};
  int epoll_ = -1;
  int bell_ = -1;

  // From here on: the sending thread's.
  DeliveryRound round_;
  struct Watched {
    std::unique_ptr<Delivery> delivery;
    bool toWrite;
  };
  std::unordered_map<uint32_t, Watched> deliveries_;
  std::vector<uint32_t> over_;
  double earliestMs_ = Delivery::kNever;  // no deadline is before this one
  double gapMs_ = 1;                      // moving average of the time that waits took
  double waitedToMs_ = 0;
  double askedMs_ = -1e9;  // when the load was looked at
  bool mayLook_ = false;
};

}  // namespace rackboot
