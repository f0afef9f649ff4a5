// Asks the daemon on its control socket whether it still does what it is asked.
#pragma once

#include <string>

namespace rackboot::supervise {

class Ping {
 public:
  explicit Ping(std::string path) : path_(std::move(path)) {}
  ~Ping() { close(); }
  Ping(const Ping&) = delete;
  Ping& operator=(const Ping&) = delete;

  // Asks anew, and forgets a question that is still open.
  void ask();
  // True once, when the answer to the last question has begun to arrive. Never waits.
  bool answered();

 private:
  void close();

  std::string path_;
  int socket_ = -1;
};

}  // namespace rackboot::supervise
