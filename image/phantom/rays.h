// A phantom seen along parallel lines: where each line enters and leaves each region, in closed form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "image/phantom.h"

namespace tomogrid::image::phantom {

// A piece of a line inside one material. Merged: neighbours differ in activity or mu.
struct Segment {
  double begin = 0, end = 0;  // position along the line, begin < end
  double activity = 0, mu = 0;
  std::uint32_t material = 0;
};

// Rectangle across the lines that a region, or all of them, can touch.
struct Shadow {
  double u_min = 0, u_max = 0, v_min = 0, v_max = 0;
  bool empty() const { return !(u_min < u_max && v_min < v_max); }
};

// Orthonormal frame of the lines: a point is u * U + v * V + w * W; lines run along W.
struct LineFrame {
  double ux = 1, uy = 0, uz = 0;
  double vx = 0, vy = 0, vz = 1;
  double wx = 0, wy = 1, wz = 0;
};
// Lines perpendicular to the detector of a view; w grows away from it, d = radius + w.
LineFrame frame_of_view(Radians angle);
// Lines along z, u = x, v = y.
LineFrame frame_along_z();

class Lines final {
 public:
  Lines(const Phantom& phantom, const LineFrame& frame);

  // The pieces of line (u, v) from small w to large. Uses `scratch` so that a loop allocates nothing.
  struct Scratch {
    struct Crossing {
      double begin, end;
      std::uint32_t region;
    };
    std::vector<Crossing> crossings;
    std::vector<double> cuts;
  };
  void segments(double u, double v, Scratch& scratch, std::vector<Segment>& out) const;

  std::size_t regions() const { return regions_.size(); }
  const Shadow& shadow(std::size_t region) const { return regions_[region].shadow; }
  // Extent of everything along the lines and across them.
  const Shadow& shadow() const { return shadow_; }
  double w_min() const { return w_min_; }
  double w_max() const { return w_max_; }
  double w_min(std::size_t region) const { return regions_[region].w_min; }

 private:
  struct Cut {  // one solid, scaled so that it is a unit sphere, cylinder or cube
    Solid::Shape shape;
    double u[3], v[3], w[3], centre[3];
  };
  struct Placed {
    std::size_t first = 0, last = 0;
    Shadow shadow;
    double w_min = 0, w_max = 0;
    double activity = 0, mu = 0;
    std::uint32_t material = 0;
  };
  bool cross(const Placed& region, double u, double v, double& begin, double& end) const;

  std::vector<Cut> cuts_;
  std::vector<Placed> regions_;
  Shadow shadow_;
  double w_min_ = 0, w_max_ = 0;
};

}  // namespace tomogrid::image::phantom
