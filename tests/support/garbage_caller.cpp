// Connects to a port of 127.0.0.1 again and again, says noise, and leaves:  garbage_caller PORT COUNT OPEN
//
// Keeps up to OPEN connections open at once; says after each thousand how many were accepted.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  const int count = std::atoi(argv[2]);
  const auto most = static_cast<std::size_t>(std::atoi(argv[3]));
  std::mt19937 random(7);
  std::array<std::uint8_t, 600> noise{};
  for (auto& byte : noise) byte = static_cast<std::uint8_t>(random());
  std::deque<int> open;
  int accepted = 0;
  for (int i = 0; i < count; ++i) {
    const int caller = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(caller, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      ++accepted;
      (void)!::send(caller, noise.data(), static_cast<std::size_t>(i) % noise.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    open.push_back(caller);
    if (accepted % 1000 == 0) {
      std::printf("accepted %d\n", accepted);
      std::fflush(stdout);
    }
    if (open.size() > most) {
      ::close(open.front());
      open.pop_front();
    }
  }
  for (const int caller : open) ::close(caller);
  return 0;
}
