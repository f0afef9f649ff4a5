// Sends what it reads on its standard input as one UDP datagram from port 0, which no ordinary socket can have.
// Usage: from-port-zero ADDRESS PORT      needs root
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

int main(int, char** argv) {
  unsigned char packet[2048] = {};
  const ssize_t length = read(STDIN_FILENO, packet + sizeof(udphdr), sizeof packet - sizeof(udphdr));
  if (length < 0) return 1;
  auto* header = reinterpret_cast<udphdr*>(packet);
  header->dest = htons(static_cast<uint16_t>(atoi(argv[2])));
  header->len = htons(static_cast<uint16_t>(sizeof(udphdr) + static_cast<size_t>(length)));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  inet_pton(AF_INET, argv[1], &to.sin_addr);
  const int raw = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
  const size_t whole = sizeof(udphdr) + static_cast<size_t>(length);
  return raw >= 0 && sendto(raw, packet, whole, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) >= 0 ? 0 : 1;
}
