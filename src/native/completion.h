// What an entry of a ring points to.
#pragma once

namespace rackboot {

class Completion {
 public:
  /// `result` is the operation's own, or -errno. `more` says that a multishot operation goes on.
  virtual void completed(int result, bool more) = 0;

 protected:
  ~Completion() = default;
};

}  // namespace rackboot
