#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "options.hpp"
#include "pdu.hpp"

// One connection before the load: connect, log in, ask what the disk is, and log out at the end. Blocking, with timeouts.
namespace loadgen {

// What login left (RFC 7143, 13). Lengths are octets.
struct Negotiated {
  // The longest data segment that the target takes.
  std::uint32_t maxSendBytes = 8192;
  std::uint32_t maxBurstBytes = 262144;
  std::uint32_t firstBurstBytes = 65536;
  bool initialR2t = true;
  bool immediateData = true;
  bool headerDigest = false;
  bool dataDigest = false;
  std::uint32_t cmdSn = 1;
  std::uint32_t expStatSn = 0;
  std::uint32_t maxCmdSn = 0;
};

struct Capacity {
  std::uint64_t blocks = 0;
  std::uint32_t blockBytes = 512;
};

struct Received {
  pdu::Header header{};
  std::vector<std::uint8_t> data;
};

using Keys = std::vector<std::pair<std::string, std::string>>;

class Portal {
 public:
  // Connects. Throws RunError, as all members do.
  explicit Portal(const Options& options);
  ~Portal();
  Portal(const Portal&) = delete;
  Portal& operator=(const Portal&) = delete;

  // `isid` tells this initiator's sessions apart. An empty target means a discovery session.
  void login(const std::string& target, std::uint32_t isid);
  // The names that SendTargets=All lists (RFC 7143, appendix C).
  std::vector<std::string> sendTargets();
  // Waits until the unit is ready, which also takes its unit attentions, and asks how large it is.
  Capacity capacity(std::uint32_t lun);
  void logout();

  // For a raw-server: what login would have said.
  void skipLogin();

  int fd() const { return fd_; }
  Negotiated& negotiated() { return negotiated_; }

 private:
  struct Answer {
    std::uint8_t status = 0;
    std::vector<std::uint8_t> data;
    std::vector<std::uint8_t> sense;
  };

  void send(pdu::Header& header, std::string_view data);
  Received receive();
  void readExactly(std::uint8_t* to, std::size_t length);
  Answer command(std::uint32_t lun, const std::uint8_t (&cdb)[16], std::uint32_t expected);
  void take(const Keys& keys);

  const Options& options_;
  int fd_ = -1;
  std::uint32_t nextItt_ = 1;
  Negotiated negotiated_;
};

// "a=b\0c=d\0" both ways (RFC 7143, 6.1).
std::string encodeKeys(const Keys& keys);
Keys decodeKeys(const std::vector<std::uint8_t>& data);

}  // namespace loadgen
