// ZAP: the library asks it about every CURVE handshake at the doors of this process. Private to this folder.
#pragma once

#include <functional>
#include <string>
#include <zmq.hpp>

#include "certs/keys.h"

namespace tomogrid::wire {

// Bound before any door; served on the loop's thread. What it lets in has its key, in Z85, as User-Id on each message.
class Gate final {
 public:
  struct Knock {
    std::string door;                  // "control" or "bulk"
    std::string address;
    certs::TransportPublicKey key;
  };
  // Empty: let in. Otherwise why not: told to nobody but `refused`.
  using Judge = std::function<std::string(const Knock&)>;

  Gate(zmq::context_t& context, Judge judge);
  zmq::socket_t& socket() { return socket_; }
  // Answers what is waiting.
  void serve();

 private:
  Judge judge_;
  zmq::socket_t socket_;
};

}  // namespace tomogrid::wire
