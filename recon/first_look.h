// A look at a scan that is still arriving: a small picture from the views that are here already, so that a patient who
// moved or a wrong window is seen while the patient still lies there. It is a reconstruction of its own, on a coarse grid,
// from a fixed start, and nothing of it enters the run that follows.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "image/stream_format.h"
#include "recon/recon.h"

namespace tomogrid::recon {

class FirstLook final {
 public:
  static constexpr std::size_t kViewsLeast = 8;  // before the first look, and between two
  static constexpr std::size_t kSide = 64;       // bins, rows and voxels across, at most

  // The geometry of the whole scan and its response; both are copied. Data are float32 [view][row][bin].
  FirstLook(image::ProjectionGeometry geometry, Response response);

  // Bytes [offset, offset + length) of the data are here. In any order, also more than once.
  void available(std::uint64_t offset, std::uint64_t length);
  std::uint64_t view_bytes() const { return std::uint64_t{geometry_.bins} * geometry_.rows * sizeof(float); }
  // Views that are here whole, in the scan's order.
  std::vector<std::size_t> views() const;
  // Eight views more than at the last look, and together they go around by half a turn at least.
  bool due() const;

  struct Picture {
    image::Volume volume;  // at most 64 voxels a side
    std::string caption;   // "partial 16/60: ..."
  };
  // `read_view` gives the counts of one view that is here. The same views give the same bits. BadInput as
  // reconstruct() says.
  Result<Picture> look(const std::function<Result<std::vector<float>>(std::size_t view)>& read_view);

 private:
  image::ProjectionGeometry geometry_;
  Response response_;
  std::map<std::uint64_t, std::uint64_t> ranges_;  // begin -> end, apart from each other
  std::size_t shown_ = 0;                          // views at the last look
};

}  // namespace tomogrid::recon
