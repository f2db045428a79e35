// A volume as one picture.
#include <png.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csetjmp>

#include "image/formats.h"
#include "image/refusal.h"

namespace tomogrid::image {

namespace {

constexpr std::size_t kTile = 240;  // pixels along the longest side of the field
constexpr std::size_t kGap = 6;
constexpr std::size_t kAxialTiles = 4;

using Pixel = std::array<std::uint8_t, 3>;

// Evenly spaced colours of "inferno" (van der Walt and Smith 2015, CC0): even in lightness, so that equal steps look
// equal and it prints in grey.
constexpr std::array<Pixel, 9> kInferno{{{0, 0, 4},
                                         {31, 12, 72},
                                         {85, 15, 109},
                                         {136, 34, 106},
                                         {186, 54, 85},
                                         {227, 89, 51},
                                         {249, 140, 10},
                                         {249, 201, 50},
                                         {252, 255, 164}}};

Pixel colour(double level, Palette palette) {
  const double x = std::clamp(level, 0.0, 1.0);
  if (palette == Palette::Grey) {
    const auto grey = static_cast<std::uint8_t>(std::lround(255 * x));
    return {grey, grey, grey};
  }
  const double at = x * (kInferno.size() - 1);
  const auto low = std::min(static_cast<std::size_t>(at), kInferno.size() - 2);
  const double part = at - static_cast<double>(low);
  Pixel mixed{};
  for (std::size_t c = 0; c < 3; ++c) {
    mixed[c] = static_cast<std::uint8_t>(std::lround((1 - part) * kInferno[low][c] + part * kInferno[low + 1][c]));
  }
  return mixed;
}

struct Picture {
  std::size_t width = 0, height = 0;
  std::vector<Pixel> pixels;
  void resize(std::size_t w, std::size_t h) {
    width = w;
    height = h;
    pixels.assign(w * h, Pixel{40, 40, 40});
  }
};

// A plane of the volume: `across` samples along its rows, `down` along its columns, in mm.
struct Plane {
  std::size_t across = 0, down = 0;
  double across_mm = 1, down_mm = 1;
  std::vector<float> values;
  float at(std::size_t i, std::size_t j) const { return values[j * across + i]; }
};

// Volume accessor.
float voxel(const Volume& v, std::size_t i, std::size_t j, std::size_t k) {
  return v.values[(k * v.geometry.rows + j) * v.geometry.columns + i];
}

template <class Sample>
Plane plane(std::size_t across, double across_mm, std::size_t down, double down_mm, Sample sample) {
  Plane result{across, down, across_mm, down_mm, std::vector<float>(across * down)};
  for (std::size_t j = 0; j < down; ++j) {
    for (std::size_t i = 0; i < across; ++i) result.values[j * across + i] = sample(i, j);
  }
  return result;
}

Plane axial(const Volume& v, std::size_t k) {
  const VolumeGeometry& g = v.geometry;
  return plane(g.columns, g.column_mm.count(), g.rows, g.row_mm.count(),
               [&](std::size_t i, std::size_t j) { return voxel(v, i, j, k); });
}

Plane coronal(const Volume& v, std::size_t j) {
  const VolumeGeometry& g = v.geometry;
  return plane(g.columns, g.column_mm.count(), g.slices, g.slice_mm.count(),
               [&](std::size_t i, std::size_t down) { return voxel(v, i, j, g.slices - 1 - down); });
}

Plane sagittal(const Volume& v, std::size_t i) {
  const VolumeGeometry& g = v.geometry;
  return plane(g.rows, g.row_mm.count(), g.slices, g.slice_mm.count(),
               [&](std::size_t j, std::size_t down) { return voxel(v, i, j, g.slices - 1 - down); });
}

// The largest value on each line from front to back.
Plane maximum_projection(const Volume& v) {
  const VolumeGeometry& g = v.geometry;
  return plane(g.columns, g.column_mm.count(), g.slices, g.slice_mm.count(), [&](std::size_t i, std::size_t down) {
    float most = voxel(v, i, 0, g.slices - 1 - down);
    for (std::size_t j = 1; j < g.rows; ++j) most = std::max(most, voxel(v, i, j, g.slices - 1 - down));
    return most;
  });
}

// Into a square tile whose side is `field_mm`, bilinear between sample centres.
void draw(Picture& picture, std::size_t left, std::size_t top, const Plane& plane, double field_mm, float white,
          Palette palette) {
  const double step = field_mm / kTile;
  const auto blend = [&](double x, double y) {
    x = std::clamp(x, 0.0, static_cast<double>(plane.across - 1));
    y = std::clamp(y, 0.0, static_cast<double>(plane.down - 1));
    const auto i = static_cast<std::size_t>(x), j = static_cast<std::size_t>(y);
    const std::size_t i1 = std::min(i + 1, plane.across - 1), j1 = std::min(j + 1, plane.down - 1);
    const double a = x - static_cast<double>(i), b = y - static_cast<double>(j);
    return (1 - b) * ((1 - a) * static_cast<double>(plane.at(i, j)) + a * static_cast<double>(plane.at(i1, j))) +
           b * ((1 - a) * static_cast<double>(plane.at(i, j1)) + a * static_cast<double>(plane.at(i1, j1)));
  };
  for (std::size_t py = 0; py < kTile; ++py) {
    for (std::size_t px = 0; px < kTile; ++px) {
      const double mm_x = (static_cast<double>(px) + 0.5) * step - field_mm / 2;
      const double mm_y = (static_cast<double>(py) + 0.5) * step - field_mm / 2;
      const double x = mm_x / plane.across_mm + 0.5 * static_cast<double>(plane.across - 1);
      const double y = mm_y / plane.down_mm + 0.5 * static_cast<double>(plane.down - 1);
      const bool inside = x >= -0.5 && y >= -0.5 && x <= static_cast<double>(plane.across) - 0.5 &&
                          y <= static_cast<double>(plane.down) - 0.5;
      const double level = inside && white > 0 ? blend(x, y) / static_cast<double>(white) : 0;
      picture.pixels[(top + py) * picture.width + left + px] = colour(level, palette);
    }
  }
}

// The index of the middle of the activity along one axis; the middle of the grid if there is none.
struct Centre {
  std::size_t i = 0, j = 0, k = 0;
};

Centre centre_of(const Volume& v) {
  const VolumeGeometry& g = v.geometry;
  double sum = 0, x = 0, y = 0, z = 0;
  for (std::size_t k = 0; k < g.slices; ++k) {
    for (std::size_t j = 0; j < g.rows; ++j) {
      for (std::size_t i = 0; i < g.columns; ++i) {
        const double w = std::max(0.0, static_cast<double>(voxel(v, i, j, k)));
        sum += w;
        x += w * static_cast<double>(i);
        y += w * static_cast<double>(j);
        z += w * static_cast<double>(k);
      }
    }
  }
  if (sum <= 0) return {g.columns / 2, g.rows / 2, g.slices / 2};
  return {static_cast<std::size_t>(std::lround(x / sum)), static_cast<std::size_t>(std::lround(y / sum)),
          static_cast<std::size_t>(std::lround(z / sum))};
}

// The first and last slice that hold more than 2 % of the brightest slice's sum.
std::pair<std::size_t, std::size_t> filled_slices(const Volume& v) {
  const std::size_t slice = v.geometry.columns * v.geometry.rows;
  std::vector<double> sums(v.geometry.slices, 0.0);
  for (std::size_t n = 0; n < v.values.size(); ++n) sums[n / slice] += std::max(0.0, static_cast<double>(v.values[n]));
  const double least = 0.02 * *std::max_element(sums.begin(), sums.end());
  std::size_t first = 0, last = sums.size() - 1;
  while (first < last && sums[first] <= least) ++first;
  while (last > first && sums[last] <= least) --last;
  return {first, last};
}

ByteString encode_png(const Picture& picture) {
  ByteString bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  if (info == nullptr) throw std::bad_alloc();
  // libpng reports errors by longjmp: nothing with a destructor is made between here and the end.
  if (setjmp(png_jmpbuf(png)) != 0) {
    png_destroy_write_struct(&png, &info);
    refuse("libpng cannot write the picture");
  }
  png_set_write_fn(
      png, &bytes,
      [](png_structp writer, png_bytep data, png_size_t size) {
        auto* out = static_cast<ByteString*>(png_get_io_ptr(writer));
        out->insert(out->end(), data, data + size);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(picture.width), static_cast<png_uint_32>(picture.height), 8,
               PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (std::size_t row = 0; row < picture.height; ++row) png_write_row(png, picture.pixels[row * picture.width].data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

}  // namespace

// Layout: the upper row has four axial slices from head to feet, the lower one a coronal slice, a sagittal one, the
// maximum projection from the front, and a bar of the grey or colour scale.
ByteString draw_mosaic(const Volume& volume, Palette palette, std::optional<float> maximum) {
  const VolumeGeometry& g = volume.geometry;
  const float white = maximum.value_or(*std::max_element(volume.values.begin(), volume.values.end()));
  const double field =
      std::max({static_cast<double>(g.columns) * g.column_mm.count(), static_cast<double>(g.rows) * g.row_mm.count(),
                static_cast<double>(g.slices) * g.slice_mm.count()});
  Picture picture;
  picture.resize(kGap + kAxialTiles * (kTile + kGap), 2 * kTile + 3 * kGap);
  const auto left = [](std::size_t tile) { return kGap + tile * (kTile + kGap); };
  const auto [first, last] = filled_slices(volume);
  for (std::size_t tile = 0; tile < kAxialTiles; ++tile) {
    // The middles of four equal parts of what is filled, from the head down.
    const double part = (static_cast<double>(kAxialTiles - 1 - tile) + 0.5) / kAxialTiles;
    const auto k = first + static_cast<std::size_t>(std::lround(part * static_cast<double>(last - first)));
    draw(picture, left(tile), kGap, axial(volume, k), field, white, palette);
  }
  const Centre centre = centre_of(volume);
  const std::size_t lower = 2 * kGap + kTile;
  draw(picture, left(0), lower, coronal(volume, centre.j), field, white, palette);
  draw(picture, left(1), lower, sagittal(volume, centre.i), field, white, palette);
  draw(picture, left(2), lower, maximum_projection(volume), field, white, palette);
  for (std::size_t y = 0; y < kTile; ++y) {
    for (std::size_t x = kTile / 2 - 12; x < kTile / 2 + 12; ++x) {
      picture.pixels[(lower + y) * picture.width + left(3) + x] =
          colour(1 - static_cast<double>(y) / (kTile - 1), palette);
    }
  }
  return encode_png(picture);
}

}  // namespace tomogrid::image
