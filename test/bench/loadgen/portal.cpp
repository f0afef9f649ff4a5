#include "portal.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "crc32c.hpp"

namespace loadgen {
namespace {

constexpr int kMaxLoginRounds = 16;
constexpr int kMaxReadyAttempts = 20;
constexpr std::size_t kMaxTextBytes = 1u << 20;

std::string errnoText(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

int connectTo(const Options& options) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(options.port);
  if (const int error = getaddrinfo(options.host.c_str(), port.c_str(), &hints, &found); error != 0)
    throw RunError(options.host + ": " + gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> guard(found, freeaddrinfo);

  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw RunError(errnoText("socket"));
  const timeval timeout{static_cast<time_t>(options.timeoutSeconds) + 1, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
    const std::string message = errnoText(options.host + " port " + port);
    close(fd);
    throw RunError(message);
  }
  return fd;
}

const char* yesNo(bool value) {
  return value ? "Yes" : "No";
}

// RFC 7143, 11.13.5, the ones that people meet.
std::string loginStatus(std::uint32_t status) {
  switch (status) {
    case 0x0101:
    case 0x0102: return "the target has moved";
    case 0x0201: return "authentication failed or is required";
    case 0x0202: return "this initiator may not use the target";
    case 0x0203: return "there is no such target";
    case 0x0301: return "the service is unavailable";
    case 0x0302: return "the target is out of resources";
    default: return "status " + std::to_string(status >> 8) + "/" + std::to_string(status & 0xff);
  }
}

}  // namespace

std::string encodeKeys(const Keys& keys) {
  std::string text;
  for (const auto& [key, value] : keys) text += key + "=" + value + '\0';
  return text;
}

Keys decodeKeys(const std::vector<std::uint8_t>& data) {
  Keys keys;
  const std::string text(data.begin(), data.end());
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t to = std::min(text.find('\0', from), text.size());
    const std::string pair = text.substr(from, to - from);
    const std::size_t equals = pair.find('=');
    if (equals != std::string::npos) keys.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
    from = to + 1;
  }
  return keys;
}

Portal::Portal(const Options& options) : options_(options), fd_(connectTo(options)) {}

Portal::~Portal() {
  close(fd_);
}

void Portal::send(pdu::Header& header, std::string_view data) {
  pdu::put24(&header[pdu::kDataLength], static_cast<std::uint32_t>(data.size()));
  std::vector<std::uint8_t> out(header.begin(), header.end());
  const auto digest = [&out](std::size_t from) {
    const std::uint32_t crc = crc32c(0, out.data() + from, out.size() - from);
    out.resize(out.size() + 4);
    putDigest(out.data() + out.size() - 4, crc);
  };
  if (negotiated_.headerDigest) digest(0);
  if (!data.empty()) {
    const std::size_t from = out.size();
    out.insert(out.end(), data.begin(), data.end());
    out.resize(out.size() + pdu::padding(static_cast<std::uint32_t>(data.size())));
    if (negotiated_.dataDigest) digest(from);
  }
  for (std::size_t sent = 0; sent < out.size();) {
    const ssize_t n = ::send(fd_, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw RunError(errnoText("send"));
    sent += static_cast<std::size_t>(n);
  }
}

void Portal::readExactly(std::uint8_t* to, std::size_t length) {
  while (length > 0) {
    const ssize_t n = recv(fd_, to, length, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw RunError(errno == EAGAIN ? "the target did not answer in time" : errnoText("receive"));
    if (n == 0) throw RunError("the target closed the connection");
    to += n;
    length -= static_cast<std::size_t>(n);
  }
}

Received Portal::receive() {
  std::uint8_t skip[4];
  for (;;) {
    Received got;
    readExactly(got.header.data(), got.header.size());
    std::vector<std::uint8_t> extra(std::size_t{4} * got.header[pdu::kAhsWords]);
    readExactly(extra.data(), extra.size());
    if (negotiated_.headerDigest) readExactly(skip, 4);
    const std::uint32_t length = pdu::get24(&got.header[pdu::kDataLength]);
    if (length > kMaxTextBytes) throw RunError("the target sent a data segment of " + std::to_string(length) + " octets");
    got.data.resize(length);
    readExactly(got.data.data(), length);
    readExactly(skip, pdu::padding(length));
    if (negotiated_.dataDigest && length > 0) readExactly(skip, 4);

    const std::uint8_t opcode = got.header[0] & 0x3f;
    negotiated_.maxCmdSn = pdu::get32(&got.header[pdu::kMaxCmdSn]);
    const bool carriesStatus = opcode != pdu::kR2t && (opcode != pdu::kDataIn || got.header[pdu::kFlags] & pdu::kDataInStatus);
    const bool ping = opcode == pdu::kNopIn && pdu::get32(&got.header[pdu::kItt]) == pdu::kNoTag;
    if (carriesStatus && !ping) negotiated_.expStatSn = pdu::get32(&got.header[pdu::kStatSn]) + 1;
    if (!ping) return got;
    if (pdu::get32(&got.header[pdu::kTtt]) == pdu::kNoTag) continue;

    pdu::Header answer{};
    answer[0] = pdu::kNopOut | pdu::kImmediate;
    answer[pdu::kFlags] = pdu::kFinal;
    std::memcpy(&answer[pdu::kLun], &got.header[pdu::kLun], 8);
    pdu::put32(&answer[pdu::kItt], pdu::kNoTag);
    std::memcpy(&answer[pdu::kTtt], &got.header[pdu::kTtt], 4);
    pdu::put32(&answer[pdu::kCmdSn], negotiated_.cmdSn);
    pdu::put32(&answer[pdu::kExpStatSn], negotiated_.expStatSn);
    send(answer, {});
  }
}

void Portal::take(const Keys& keys) {
  const auto number = [](const std::string& text) { return static_cast<std::uint32_t>(std::strtoul(text.c_str(), nullptr, 0)); };
  for (const auto& [key, value] : keys) {
    if (key == "MaxRecvDataSegmentLength") negotiated_.maxSendBytes = std::max(512u, number(value) & ~3u);
    if (key == "MaxBurstLength") negotiated_.maxBurstBytes = std::min(options_.maxBurstBytes, number(value));
    if (key == "FirstBurstLength") negotiated_.firstBurstBytes = std::min(options_.firstBurstBytes, number(value) & ~3u);
    if (key == "InitialR2T") negotiated_.initialR2t = options_.initialR2t || value == "Yes";
    if (key == "ImmediateData") negotiated_.immediateData = options_.immediateData && value == "Yes";
  }
}

void Portal::login(const std::string& target, std::uint32_t isid) {
  const bool discovery = target.empty();
  Keys offer = {{"InitiatorName", options_.initiator}, {"SessionType", discovery ? "Discovery" : "Normal"}};
  if (!discovery) offer.emplace_back("TargetName", target);
  const Keys operational = {
      {"HeaderDigest", options_.headerDigest && !discovery ? "CRC32C,None" : "None"},
      {"DataDigest", options_.dataDigest && !discovery ? "CRC32C,None" : "None"},
      {"DefaultTime2Wait", "2"},
      {"DefaultTime2Retain", "0"},
      {"ErrorRecoveryLevel", "0"},
      {"MaxRecvDataSegmentLength", std::to_string(options_.maxRecvBytes)},
  };
  offer.insert(offer.end(), operational.begin(), operational.end());
  if (!discovery) {
    const Keys normal = {
        {"InitialR2T", yesNo(options_.initialR2t)},
        {"ImmediateData", yesNo(options_.immediateData)},
        {"MaxBurstLength", std::to_string(options_.maxBurstBytes)},
        {"FirstBurstLength", std::to_string(options_.firstBurstBytes)},
        {"MaxOutstandingR2T", std::to_string(options_.maxOutstandingR2t)},
        {"MaxConnections", "1"},
        {"DataPDUInOrder", "Yes"},
        {"DataSequenceInOrder", "Yes"},
    };
    offer.insert(offer.end(), normal.begin(), normal.end());
  }

  std::string text = encodeKeys(offer);
  Keys answers;
  for (int round = 0; round < kMaxLoginRounds; ++round) {
    // T=1, CSG=1 (operational), NSG=3 (full feature): one request, as dracut's initiator sends it (RFC 7143, 11.12).
    pdu::Header request{};
    request[0] = pdu::kLoginRequest | pdu::kImmediate;
    request[pdu::kFlags] = 0x87;
    request[8] = 0x80;  // ISID of random format (RFC 7143, 11.12.5); the process keeps two generators apart
    pdu::put16(&request[9], static_cast<std::uint32_t>(getpid()));
    pdu::put24(&request[11], isid);
    pdu::put32(&request[pdu::kItt], nextItt_);
    pdu::put32(&request[pdu::kCmdSn], negotiated_.cmdSn);
    pdu::put32(&request[pdu::kExpStatSn], negotiated_.expStatSn);
    send(request, text);
    text.clear();

    const Received got = receive();
    if ((got.header[0] & 0x3f) != pdu::kLoginResponse) throw RunError("login was answered by another PDU");
    const std::uint32_t status = pdu::get16(&got.header[36]);
    if (status != 0) throw RunError("login refused: " + loginStatus(status));
    const Keys some = decodeKeys(got.data);
    answers.insert(answers.end(), some.begin(), some.end());
    const bool transit = got.header[pdu::kFlags] & 0x80;
    if (!transit || (got.header[pdu::kFlags] & 0x03) != 3) continue;

    negotiated_.initialR2t = true;
    negotiated_.immediateData = options_.immediateData;
    take(answers);
    for (const auto& [key, value] : answers) {
      if (key == "HeaderDigest") negotiated_.headerDigest = value == "CRC32C";
      if (key == "DataDigest") negotiated_.dataDigest = value == "CRC32C";
    }
    ++nextItt_;
    return;
  }
  throw RunError("login did not end after " + std::to_string(kMaxLoginRounds) + " rounds");
}

std::vector<std::string> Portal::sendTargets() {
  std::string text = encodeKeys({{"SendTargets", "All"}});
  std::vector<std::uint8_t> all;
  std::uint32_t ttt = pdu::kNoTag;
  for (int round = 0; round < kMaxLoginRounds; ++round) {
    pdu::Header request{};
    request[0] = pdu::kTextRequest;
    request[pdu::kFlags] = pdu::kFinal;
    pdu::put32(&request[pdu::kItt], nextItt_);
    pdu::put32(&request[pdu::kTtt], ttt);
    pdu::put32(&request[pdu::kCmdSn], negotiated_.cmdSn++);
    pdu::put32(&request[pdu::kExpStatSn], negotiated_.expStatSn);
    send(request, text);
    text.clear();
    const Received got = receive();
    if ((got.header[0] & 0x3f) != pdu::kTextResponse) throw RunError("SendTargets was answered by another PDU");
    all.insert(all.end(), got.data.begin(), got.data.end());
    ttt = pdu::get32(&got.header[pdu::kTtt]);
    if (got.header[pdu::kFlags] & pdu::kFinal) break;
  }
  ++nextItt_;
  std::vector<std::string> names;
  for (const auto& [key, value] : decodeKeys(all))
    if (key == "TargetName") names.push_back(value);
  return names;
}

Portal::Answer Portal::command(std::uint32_t lun, const std::uint8_t (&cdb)[16], std::uint32_t expected) {
  pdu::Header request{};
  request[0] = pdu::kScsiCommand;
  request[pdu::kFlags] = static_cast<std::uint8_t>(pdu::kFinal | pdu::kSimpleTask | (expected > 0 ? pdu::kRead : 0));
  pdu::putLun(&request[pdu::kLun], lun);
  pdu::put32(&request[pdu::kItt], nextItt_++);
  pdu::put32(&request[pdu::kExpectedLength], expected);
  pdu::put32(&request[pdu::kCmdSn], negotiated_.cmdSn++);
  pdu::put32(&request[pdu::kExpStatSn], negotiated_.expStatSn);
  std::memcpy(&request[pdu::kCdb], cdb, sizeof cdb);
  send(request, {});

  Answer answer;
  for (;;) {
    Received got = receive();
    const std::uint8_t opcode = got.header[0] & 0x3f;
    if (opcode == pdu::kDataIn) {
      answer.data.insert(answer.data.end(), got.data.begin(), got.data.end());
      if (!(got.header[pdu::kFlags] & pdu::kDataInStatus)) continue;
      answer.status = got.header[pdu::kStatus];
      return answer;
    }
    if (opcode != pdu::kScsiResponse) throw RunError("a SCSI command was answered by opcode " + std::to_string(opcode));
    answer.status = got.header[pdu::kResponse] == 0 ? got.header[pdu::kStatus] : pdu::kCheckCondition;
    if (got.data.size() > 2) answer.sense.assign(got.data.begin() + 2, got.data.end());
    return answer;
  }
}

Capacity Portal::capacity(std::uint32_t lun) {
  const std::uint8_t ready[16] = {pdu::kTestUnitReady};
  Answer answer;
  for (int attempt = 0; attempt < kMaxReadyAttempts; ++attempt) {
    answer = command(lun, ready, 0);
    if (answer.status == pdu::kGood) break;
  }
  if (answer.status != pdu::kGood) {
    const std::string sense = answer.sense.size() > 13 ? ", sense key " + std::to_string(answer.sense[2] & 0xf) + ", additional " +
                                                             std::to_string(answer.sense[12]) + "/" + std::to_string(answer.sense[13])
                                                       : "";
    throw RunError("LUN " + std::to_string(lun) + " is not ready: status " + std::to_string(answer.status) + sense);
  }
  const std::uint8_t wide[16] = {pdu::kServiceActionIn16, pdu::kReadCapacity16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32};
  answer = command(lun, wide, 32);
  if (answer.status == pdu::kGood && answer.data.size() >= 12)
    return {pdu::get64(answer.data.data()) + 1, pdu::get32(answer.data.data() + 8)};
  const std::uint8_t narrow[16] = {pdu::kReadCapacity10};
  answer = command(lun, narrow, 8);
  if (answer.status != pdu::kGood || answer.data.size() < 8) throw RunError("LUN " + std::to_string(lun) + " does not say how large it is");
  return {std::uint64_t{pdu::get32(answer.data.data())} + 1, pdu::get32(answer.data.data() + 4)};
}

void Portal::skipLogin() {
  negotiated_.maxSendBytes = (1u << 24) - 1;
  negotiated_.maxBurstBytes = negotiated_.maxSendBytes;
  negotiated_.firstBurstBytes = negotiated_.maxSendBytes;
  negotiated_.initialR2t = false;
  negotiated_.maxCmdSn = negotiated_.cmdSn + kMaxDepth;
}

void Portal::logout() {
  pdu::Header request{};
  request[0] = pdu::kLogoutRequest | pdu::kImmediate;
  request[pdu::kFlags] = pdu::kFinal;  // reason 0: close the session (RFC 7143, 11.14.1)
  pdu::put32(&request[pdu::kItt], nextItt_++);
  pdu::put32(&request[pdu::kCmdSn], negotiated_.cmdSn);
  pdu::put32(&request[pdu::kExpStatSn], negotiated_.expStatSn);
  send(request, {});
  if ((receive().header[0] & 0x3f) != pdu::kLogoutResponse) throw RunError("logout was answered by another PDU");
}

}  // namespace loadgen
