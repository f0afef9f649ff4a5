// Runs one TFTP download: carries out what TftpTransfer orders, on a UDP socket of its own.
#pragma once

#include <netinet/in.h>

#include <memory>
#include <string>
#include <vector>

#include "files/delivery.h"
#include "files/tftp-transfer.h"

namespace rackboot {

struct TftpSpec {
  std::string address;
  std::string peerAddress;
  uint16_t peerPort = 0;
  int file = -1;
  uint64_t offsetBytes = 0;
  TransferPlan plan;
  /// Empty: the first DATA answers.
  std::vector<uint8_t> oack;
};

class TftpDownload final : public Delivery, private TransferOrders {
 public:
  /// Opens the socket on a port that the system chooses, and the file once more. Returns an errno and a sentence.
  static int open(uint32_t id, DeliveryRound& round, const TftpSpec& spec, std::unique_ptr<TftpDownload>& out, std::string& message);

  void begin() override;
  bool ready() override;
  void timeout() override;
  void abort(const std::string& reason) override;
  int socket() const override { return socket_.fd(); }
  bool wantsToWrite() const override { return blocked_; }

 private:
  TftpDownload(uint32_t id, DeliveryRound& round, const TftpSpec& spec, int socket, int file, const sockaddr_in& peer);

  void sendOack() override;
  void sendBlocks(uint64_t first, uint64_t count) override;
  void setTimer(double afterMs) override;
  void ended(TransferEnd outcome, const std::string& reason, bool tellClient) override;

  void received(const uint8_t* packet, size_t length, const sockaddr_in& from);
  void malformed(const sockaddr_in& from, std::string reason);
  void pump();
  size_t countAtOnce(uint64_t wanted) const;
  bool layBlocks(uint64_t first, size_t count, std::string& reason);
  void layNextWindow();
  bool sendScratch();
  void sendError(const sockaddr_in& to, uint16_t code, const std::string& message);
  void startTimer();
  void fail(const std::string& reason);

  const Descriptor socket_;
  const Descriptor file_;
  const uint64_t offsetBytes_;
  const std::vector<uint8_t> oack_;
  const sockaddr_in peer_;
  TftpTransfer transfer_;
  /// Blocks ordered and not sent yet: from `next_` up to, and not including, `end_`.
  uint64_t next_ = 1;
  uint64_t end_ = 1;
  bool begun_ = false;
  bool blocked_ = false;
  bool segments_ = true;  // the kernel cuts one large datagram into blocks (UDP_SEGMENT)
  double timerMs_ = -1;   // what the timer is to be once everything ordered has left
  uint64_t readAheadTo_ = 0;
  /// What lies in the scratch memory, ready to leave, as long as that is ours.
  struct Laid {
    uint64_t first = 0;
    size_t count = 0;
    size_t length = 0;
  } laid_;
  uint32_t malformedTold_ = 0;
};

}  // namespace rackboot
