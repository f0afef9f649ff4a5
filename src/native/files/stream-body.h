// A stretch of a file into a TCP connection that belongs to somebody else (sendfile(2)).
#pragma once

#include <memory>
#include <string>

#include "files/delivery.h"

namespace rackboot {

struct StreamSpec {
  /// A connected, non-blocking socket into which nobody else writes meanwhile.
  int socket = -1;
  int file = -1;
  uint64_t offsetBytes = 0;
  uint64_t lengthBytes = 0;
  /// The peer has taken nothing for this long: given up.
  double idleMs = 0;
};

class StreamBody final : public Delivery {
 public:
  /// Opens both descriptors once more. Returns an errno and a sentence.
  static int open(uint32_t id, DeliveryRound& round, const StreamSpec& spec, std::unique_ptr<StreamBody>& out, std::string& message);

  void begin() override;
  bool ready() override;
  void timeout() override;
  void abort(const std::string& reason) override;
  int socket() const override { return socket_.fd(); }
  bool wantsToWrite() const override { return true; }

 private:
  StreamBody(uint32_t id, DeliveryRound& round, const StreamSpec& spec, int socket, int file);
  void cork(bool on);
  void fail(const std::string& reason);

  const Descriptor socket_;
  const Descriptor file_;
  const StreamSpec spec_;
  uint64_t sentBytes_ = 0;
};

}  // namespace rackboot
