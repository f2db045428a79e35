// From a scan's file to a result's file, however the patient lay: what shone at the left is at the left. Results are read
// here by what their headers say, not by image/'s readers, which could be wrong the same way as its writers.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "base/file.h"
#include "image/files.h"
#include "image/phantom.h"

namespace tomogrid::recon {
namespace {

namespace fs = std::filesystem;
using image::PatientPosition;

// What a command prints on both streams; fails the test when it ends with an error.
std::string output_of(const std::string& command) {
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string output;
  char buffer[4096];
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << output;
  return output;
}

// A result as its file tells it. Index i of axis a lies at (i - middle) x step, in mm towards the patient's left, back and
// head; x is the fastest.
struct Told {
  std::array<std::size_t, 3> size{};
  std::array<double, 3> step{};  // signed
  std::vector<double> values;
  double at(double left, double back, double head) const {
    const std::array<double, 3> place{left, back, head};
    std::array<std::size_t, 3> index{};
    for (std::size_t a = 0; a < 3; ++a) {
      const double i = place[a] / step[a] + 0.5 * static_cast<double>(size[a] - 1);
      index[a] = static_cast<std::size_t>(std::lround(i));
    }
    return values.at((index[2] * size[1] + index[1]) * size[0] + index[0]);
  }
};

template <class T>
T number_at(const ByteString& bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// The sform is in RAS: towards the right, the front, the head.
Told read_nifti(const fs::path& path) {
  const ByteString bytes = read_file(path, mebibytes(8)).or_throw();
  Told told;
  for (std::size_t a = 0; a < 3; ++a) {
    told.size[a] = static_cast<std::size_t>(number_at<std::int16_t>(bytes, 42 + 2 * a));
    const double along = static_cast<double>(number_at<float>(bytes, 280 + 16 * a + 4 * a));
    told.step[a] = a == 2 ? along : -along;
  }
  const auto begin = static_cast<std::size_t>(number_at<float>(bytes, 108));
  for (std::size_t i = 0; i < told.size[0] * told.size[1] * told.size[2]; ++i)
    told.values.push_back(static_cast<double>(number_at<float>(bytes, begin + 4 * i)));
  return told;
}

// Numbers of one element: "[1\0\0]", or "32 " for binary ones.
std::vector<double> element(const fs::path& path, const std::string& tag) {
  std::string text = output_of("dcmdump +P " + tag + " " + path.string());
  text = text.substr(0, text.find('\n'));
  const std::size_t open = text.find('[');
  text = open != std::string::npos ? text.substr(open + 1, text.find(']') - open - 1) : text.substr(15);
  std::vector<double> numbers;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, '\\');) numbers.push_back(std::strtod(part.c_str(), nullptr));
  return numbers;
}

// DICOM's patient coordinates: towards the left, the back, the head. Frames stack along the normal of the orientation, by
// the signed spacing (PS3.3 C.8.4.15).
Told read_dicom(const fs::path& path) {
  const std::vector<double> rows = element(path, "0028,0010"), columns = element(path, "0028,0011"),
                            frames = element(path, "0028,0008"), spacing = element(path, "0028,0030"),
                            apart = element(path, "0018,0088"), along = element(path, "0020,0037");
  Told told;
  told.size = {static_cast<std::size_t>(columns.at(0)), static_cast<std::size_t>(rows.at(0)),
               static_cast<std::size_t>(frames.at(0))};
  EXPECT_EQ(std::fabs(along.at(0)), 1);
  EXPECT_EQ(std::fabs(along.at(4)), 1);
  told.step = {along[0] * spacing.at(1), along[4] * spacing.at(0), along[0] * along[4] * apart.at(0)};
  const fs::path raw = path.parent_path() / "raw";
  fs::create_directory(raw);
  output_of("dcmdump +W " + raw.string() + " " + path.string());
  for (const auto& file : fs::directory_iterator(raw)) {
    const ByteString bytes = read_file(file.path(), mebibytes(8)).or_throw();
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2)
      told.values.push_back(static_cast<double>(number_at<std::uint16_t>(bytes, i)));
  }
  fs::remove_all(raw);
  EXPECT_EQ(told.values.size(), told.size[0] * told.size[1] * told.size[2]);
  return told;
}

// Interfile: x from the patient's right to the left, y from front to back, the first slice nearest the head, for a patient
// head in and supine, which the header must say.
Told read_interfile(const fs::path& path) {
  const ByteString text = read_file(path, mebibytes(1)).or_throw();
  const std::string header(text_of(text));
  const auto word = [&](const std::string& key) {
    const std::size_t at = header.find(key + " := ");
    EXPECT_NE(at, std::string::npos) << key;
    return at == std::string::npos ? "" : header.substr(at + key.size() + 4, header.find('\n', at) - at - key.size() - 4);
  };
  EXPECT_EQ(word("patient orientation"), "head_in");
  EXPECT_EQ(word("patient rotation"), "supine");
  Told told;
  for (std::size_t a = 0; a < 3; ++a) {
    const std::string index = " [" + std::to_string(a + 1) + "]";
    told.size[a] = std::stoul(word("matrix size" + index));
    told.step[a] = (a == 2 ? -1 : 1) * std::stod(word("scaling factor (mm/pixel)" + index));
  }
  const ByteString bytes = read_file(path.parent_path() / word("name of data file"), mebibytes(8)).or_throw();
  for (std::size_t i = 0; i + 3 < bytes.size(); i += 4)
    told.values.push_back(static_cast<double>(number_at<float>(bytes, i)));
  return told;
}

void expect_markers(const Told& told) {
  // Balls of 28 and 36 mm on a body of 0.2, seen through some blur: each far above its mirror image.
  EXPECT_GT(told.at(80, 0, 0), 8 * told.at(-80, 0, 0)) << "left";
  EXPECT_GT(told.at(0, -60, 0), 6 * told.at(0, 60, 0)) << "front";
  EXPECT_GT(told.at(0, 0, 85), 4 * told.at(0, 0, -85)) << "head";
  EXPECT_GT(told.at(80, 0, 0), 1.2 * told.at(0, -60, 0)) << "the left is the strongest";
  EXPECT_GT(told.at(0, -60, 0), 1.2 * told.at(0, 0, 85)) << "the head is the weakest";
}

TEST(Handedness, MarkersStayAtTheirSidesFromFileToFileHoweverThePatientLay) {
  if (std::system("command -v dcmdump >/dev/null") != 0) GTEST_SKIP() << "dcmtk's tools are not installed";
  const image::Phantom phantom = image::preset("markers").or_throw();
  const image::ProjectionGeometry geometry = image::circular_scan(
      33, 33, Millimetres(10), Millimetres(10), {.views = 32, .radius = phantom.radius});
  const image::Projections made =
      image::simulate(phantom, geometry, {.response = {}, .attenuation = false, .half_life = {}},
                      {.counts = 4e6, .seed = 2, .facts = {}})
          .or_throw()
          .projections;
  const TemporaryFolder folder;
  for (const PatientPosition position :
       {PatientPosition::HFS, PatientPosition::HFP, PatientPosition::FFS, PatientPosition::FFP}) {
    for (const char* extension : {".dcm", ".hs"}) {
      SCOPED_TRACE(to_string(position) + " " + extension);
      const fs::path scan = folder.path() / ("scan" + std::string(extension)), out = folder.path() / "volume";
      image::ScanLabels labels;
      labels.position = position;
      ASSERT_TRUE(save_scan(scan, made, labels).has_value());
      std::string command = std::string(TOMOGRID_BIN) + "/tomogrid-recon " + scan.string() +
                            " --iterations 4 --subsets 8 --attenuation-factor 1";
      for (const char* result : {".nii", ".dcm", ".hv"}) command += " -o " + out.string() + result;
      output_of(command);
      {
        SCOPED_TRACE("NIfTI");
        expect_markers(read_nifti(out.string() + ".nii"));
      }
      {
        SCOPED_TRACE("DICOM");
        expect_markers(read_dicom(out.string() + ".dcm"));
      }
      {
        SCOPED_TRACE("Interfile");
        expect_markers(read_interfile(out.string() + ".hv"));
      }
    }
  }
}

}  // namespace
}  // namespace tomogrid::recon
