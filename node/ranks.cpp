#include "node/ranks.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>

#include "base/text.h"

namespace tomogrid::node {

namespace fs = std::filesystem;

namespace {

using Room = std::pair<std::string, int>;  // host and socket
Room room_of(const Seat& seat) {
  return {seat.host, seat.socket};
}

std::string joined(const std::vector<int>& cpus) {
  std::string text;
  for (const int cpu : cpus) text += (text.empty() ? "" : ",") + std::to_string(cpu);
  return text;
}

}  // namespace

Result<WorkerHost> parse_worker_host(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  WorkerHost host{text.substr(0, std::min(colon, text.size())), 0};
  const bool named = colon != std::string::npos && !host.name.empty() && host.name.front() != '-' &&
                     host.name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_") ==
                         std::string::npos;
  const char* const end = text.data() + text.size();
  const auto read = named ? std::from_chars(text.data() + colon + 1, end, host.cores) : std::from_chars_result{};
  if (!named || read.ec != std::errc{} || read.ptr != end || host.cores == 0 || host.cores > 65536)
    return Error{ErrorCode::Usage, "worker host " + printable(text) + ": NAME:CORES is needed, say node17:16"};
  return host;
}

std::vector<Seat> sockets_of(const std::vector<int>& cpus, const fs::path& root) {
  std::vector<Seat> seats;
  for (const int cpu : cpus) {
    Seat seat{"", 0, cpu};
    std::error_code error;
    for (const auto& entry :
         fs::directory_iterator(root / "sys/devices/system/cpu" / ("cpu" + std::to_string(cpu)), error)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("node")) std::from_chars(name.data() + 4, name.data() + name.size(), seat.socket);
    }
    seats.push_back(std::move(seat));
  }
  return seats;
}

std::vector<Seat> seats_of(const std::vector<WorkerHost>& hosts) {
  std::vector<Seat> seats;
  for (const WorkerHost& host : hosts) seats.insert(seats.end(), host.cores, Seat{host.name, 0, -1});
  return seats;
}

Seating::Seating(std::vector<Seat> seats) {
  for (Seat& seat : seats) places_.push_back({std::move(seat), false});
}

std::vector<Seat> Seating::take(std::uint32_t count, bool may_spread) {
  std::map<Room, std::uint32_t> free;
  for (const Place& place : places_) {
    if (!place.taken && (may_spread || place.seat.host.empty())) ++free[room_of(place.seat)];
  }
  // The order in which rooms are filled: at home first; there the smallest that has room for all, else the largest.
  std::vector<Room> order;
  for (const auto& [room, seats] : free) order.push_back(room);
  std::sort(order.begin(), order.end(), [&](const Room& a, const Room& b) {
    const std::uint32_t in_a = free[a], in_b = free[b];
    const bool a_suffices = in_a >= count, b_suffices = in_b >= count;
    const auto place = [](const Room& room, bool suffices, std::uint32_t seats) {
      const std::int64_t size = suffices ? std::int64_t{seats} : -std::int64_t{seats};
      return std::tuple(!room.first.empty(), !suffices, size, room);
    };
    return place(a, a_suffices, in_a) < place(b, b_suffices, in_b);
  });
  std::vector<Seat> taken;
  for (const Room& room : order) {
    for (Place& place : places_) {
      if (taken.size() == count) return taken;
      if (place.taken || room_of(place.seat) != room) continue;
      place.taken = true;
      taken.push_back(place.seat);
    }
  }
  return taken;
}

void Seating::give_back(const std::vector<Seat>& seats) {
  for (const Seat& seat : seats) {
    const auto place = std::find_if(places_.begin(), places_.end(),
                                    [&](const Place& item) { return item.taken && item.seat == seat; });
    if (place != places_.end()) place->taken = false;
  }
}

std::vector<Rank> ranks_of(const std::vector<Seat>& seats, std::uint32_t cores_per_rank) {
  std::map<Room, std::vector<int>> rooms;  // this machine's name is empty, so it comes first
  for (const Seat& seat : seats) rooms[room_of(seat)].push_back(seat.cpu);
  std::vector<Rank> ranks;
  for (const auto& [room, cpus] : rooms) {
    const std::size_t size = cores_per_rank == 0 ? cpus.size() : cores_per_rank;
    for (std::size_t from = 0; from < cpus.size(); from += size) {
      const std::size_t to = std::min(cpus.size(), from + size);
      Rank rank{room.first, {}, static_cast<std::uint32_t>(to - from)};
      if (room.first.empty())
        rank.cpus.assign(cpus.begin() + static_cast<std::ptrdiff_t>(from), cpus.begin() + static_cast<std::ptrdiff_t>(to));
      ranks.push_back(std::move(rank));
    }
  }
  if (!ranks.empty() && !ranks.front().host.empty()) ranks.insert(ranks.begin(), Rank{});
  return ranks;
}

std::vector<std::string> mpirun_command(const fs::path& mpirun, const std::vector<std::string>& options,
                                        const std::vector<Rank>& ranks, const std::vector<std::string>& command) {
  const bool elsewhere = std::any_of(ranks.begin(), ranks.end(), [](const Rank& rank) { return !rank.host.empty(); });
  // Binding is ours, by taskset: mpirun's own would give every rank of a host the same first cores.
  std::vector<std::string> words{mpirun.string(), "--quiet", "--bind-to", "none", "--oversubscribe"};
  words.insert(words.end(), options.begin(), options.end());
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const Rank& rank = ranks[i];
    if (i > 0) words.push_back(":");
    words.insert(words.end(), {"-n", "1"});
    if (elsewhere) words.insert(words.end(), {"--host", rank.host.empty() ? "localhost" : rank.host});
    words.insert(words.end(), {"/usr/bin/env", "OMP_NUM_THREADS=" + std::to_string(rank.threads),
                               rank.cpus.empty() ? "OMP_PROC_BIND=false" : "OMP_PROC_BIND=true"});
    if (!rank.cpus.empty()) words.insert(words.end(), {"taskset", "-c", joined(rank.cpus)});
    words.insert(words.end(), {"/bin/sh", "-c", i == 0 ? "exec \"$@\" 3>&1 1>&2" : "exec \"$@\" 3>/dev/null 1>&2", "sh"});
    words.insert(words.end(), command.begin(), command.end());
  }
  return words;
}

}  // namespace tomogrid::node
