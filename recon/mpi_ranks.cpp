#include "recon/mpi_ranks.h"

#include <mpi.h>

#include <algorithm>
#include <cstdlib>

namespace tomogrid::recon {

namespace {

constexpr std::size_t kPiece = std::size_t{1} << 28;  // MPI counts are int; messages are cut to 1 GiB of floats

class Alone final : public Processes {
 public:
  std::size_t rank() const override { return 0; }
  std::size_t size() const override { return 1; }
  void exchange(std::span<const float>, std::span<const std::size_t>, std::span<float>,
                std::span<const std::size_t>) override {}
  void gather(std::span<float>, std::span<const std::size_t>) override {}
  void merge(std::span<double>) override {}
  void broadcast(std::vector<std::uint8_t>&) override {}
  [[noreturn]] void abort(int status) override { std::exit(status); }
  std::uint64_t bytes_sent() const override { return 0; }
};

class Mpi final : public Processes {
 public:
  Mpi() {
    int provided = 0, rank = 0, size = 1;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    rank_ = static_cast<std::size_t>(rank);
    size_ = static_cast<std::size_t>(size);
  }
  ~Mpi() override { MPI_Finalize(); }
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;

  std::size_t rank() const override { return rank_; }
  std::size_t size() const override { return size_; }

  void exchange(std::span<const float> send, std::span<const std::size_t> send_counts, std::span<float> receive,
                std::span<const std::size_t> receive_counts) override {
    std::vector<MPI_Request> requests;
    std::size_t offset = 0, own_from = 0, own_to = 0;
    for (std::size_t r = 0; r < size_; ++r) {
      if (r == rank_)
        own_to = offset;
      else
        post(receive.data() + offset, receive_counts[r], r, false, requests);
      offset += receive_counts[r];
    }
    offset = 0;
    for (std::size_t r = 0; r < size_; ++r) {
      if (r == rank_)
        own_from = offset;
      else
        post(const_cast<float*>(send.data()) + offset, send_counts[r], r, true, requests);
      offset += send_counts[r];
    }
    std::copy_n(send.data() + own_from, send_counts[rank_], receive.data() + own_to);
    MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
  }

  void gather(std::span<float> all, std::span<const std::size_t> counts) override {
    std::vector<MPI_Request> requests;
    std::size_t offset = 0, own = 0;
    for (std::size_t r = 0; r < size_; ++r) {
      if (r == rank_)
        own = offset;
      else
        post(all.data() + offset, counts[r], r, false, requests);
      offset += counts[r];
    }
    for (std::size_t r = 0; r < size_; ++r) {
      if (r != rank_) post(all.data() + own, counts[rank_], r, true, requests);
    }
    MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
  }

  void merge(std::span<double> values) override {
    MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  }

  void broadcast(std::vector<std::uint8_t>& bytes) override {
    std::uint64_t length = bytes.size();
    MPI_Bcast(&length, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    bytes.resize(length);
    for (std::size_t at = 0; at < length; at += kPiece) {
      MPI_Bcast(bytes.data() + at, static_cast<int>(std::min<std::size_t>(kPiece, length - at)), MPI_BYTE, 0,
                MPI_COMM_WORLD);
    }
  }

  [[noreturn]] void abort(int status) override {
    MPI_Abort(MPI_COMM_WORLD, status);
    std::_Exit(status);
  }

  std::uint64_t bytes_sent() const override { return bytes_sent_; }

 private:
  void post(float* data, std::size_t count, std::size_t peer, bool sending, std::vector<MPI_Request>& requests) {
    for (std::size_t at = 0; at < count; at += kPiece) {
      const int n = static_cast<int>(std::min(kPiece, count - at));
      MPI_Request request;
      if (sending) {
        MPI_Isend(data + at, n, MPI_FLOAT, static_cast<int>(peer), 0, MPI_COMM_WORLD, &request);
        bytes_sent_ += static_cast<std::uint64_t>(n) * sizeof(float);
      } else {
        MPI_Irecv(data + at, n, MPI_FLOAT, static_cast<int>(peer), 0, MPI_COMM_WORLD, &request);
      }
      requests.push_back(request);
    }
  }

  std::size_t rank_ = 0, size_ = 1;
  std::uint64_t bytes_sent_ = 0;
};

}  // namespace

bool started_by_mpi() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr || std::getenv("PMIX_RANK") != nullptr;
}

std::unique_ptr<Processes> join_processes() {
  if (!started_by_mpi()) return std::make_unique<Alone>();
  return std::make_unique<Mpi>();
}

}  // namespace tomogrid::recon
