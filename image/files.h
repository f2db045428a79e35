// Scans and volumes on disk: read into this room's values, and written so that they appear whole or not at all.
//
//   scans    DICOM NM TOMO, Interfile 3.3 projections (header .hs or .h33 with its data file)
//   volumes  DICOM NM RECON TOMO, NIfTI-1 (.nii, .nii.gz), Interfile (.hv with its data file); PNG mosaics are written
//
// Which format a file has is decided by its content when reading and by its extension when writing. docs/files.md
// derives every angle and axis. Everything here is synchronous, keeps no state and may be called from several threads
// on different files.
//
// Errors: NotFound (no such file), BadInput (malformed, of another kind, contradicting itself, or refused by name: the
// message names the element or key and the remedy), Storage (cannot write).
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "image/image.h"

namespace tomogrid::image {

// How a patient lay: Head or Feet First (towards the gantry), Supine or Prone.
enum class PatientPosition { Unknown, HFS, HFP, FFS, FFP };
std::string to_string(PatientPosition position);  // "HFS"; "unknown"
std::optional<PatientPosition> parse_patient_position(std::string_view text);

// Who a scan is of, and where it lies in the patient's coordinates: what must not leave the client and is put back into
// a DICOM result. An opaque value; a default one means "nobody". Never logged, never sent, never part of an error.
class Identity {
 public:
  Identity();
  ~Identity();
  Identity(const Identity&);
  Identity(Identity&&) noexcept;
  Identity& operator=(const Identity&);
  Identity& operator=(Identity&&) noexcept;

  bool empty() const;
  PatientPosition position() const;
  // A frame of reference is named: positions are the patient's, not only the file's own.
  bool has_frame() const;
  // Both name a frame of reference, and it is the same: positions of one can be read in the other.
  bool same_frame(const Identity& other) const;
  // Where this room's origin (on the rotation axis, mid height of the projections) lies in the patient's DICOM
  // coordinates. {0, 0, 0} unless the file says otherwise.
  std::array<Millimetres, 3> origin() const;

  // For the client's private journal. The bytes hold patient data in the clear: keep them in a file of mode 0600.
  ByteString serialise() const;
  static Result<Identity> parse(ByteView bytes);

  struct Content;  // identity.cpp and the DICOM files only
  const Content* content() const { return content_.get(); }
  explicit Identity(std::unique_ptr<const Content> content);

 private:
  std::shared_ptr<const Content> content_;
};

struct LoadOptions {
  std::optional<std::size_t> window = std::nullopt;  // which energy window, from 1, when the file has several
  std::optional<Millimetres> radius = std::nullopt;  // for the views whose radius the file does not state
  Millimetres collimator_gap{0};                     // added to every radius: from the reported one to the face
  bool sum_gates = false;                            // add the gates of a gated scan
  // Where the rotation axis lies in the patient's DICOM coordinates, x and y; none: at 0, 0, with a warning when the file
  // says something else.
  std::optional<std::array<Millimetres, 2>> axis = std::nullopt;
};
// "X,Y" in mm, each within 2 m. Usage when it is not that.
Result<std::array<Millimetres, 2>> parse_axis(std::string_view text);

struct LoadedScan {
  Projections projections;  // passes check() of stream_format.h; values finite and not negative
  Identity identity;
  std::vector<std::string> warnings;  // sentences for the user; they name elements, never patients
};

// Views are sorted by detector, rotation and angular view. A radius that neither the file nor `options` states is 0.
Result<LoadedScan> load_scan(const std::filesystem::path& path, const LoadOptions& options = {});

struct LoadedVolume {
  Volume volume;
  Identity identity;  // of a DICOM file
  std::vector<std::string> warnings;
};

// The volume on a grid along the patient's axes as image/geometry.h states (axes are permuted and flipped as the file's
// orientation needs; an oblique grid is refused). `unit` is what the numbers are when the file does not say.
Result<LoadedVolume> load_volume_with_warnings(const std::filesystem::path& path, const std::string& unit = "");
Result<Volume> load_volume(const std::filesystem::path& path, const std::string& unit = "");

// What an attenuation map's numbers mean: no format says, so the caller must.
enum class AttenuationUnit { PerMillimetre, PerCentimetre, Hounsfield };
std::optional<AttenuationUnit> parse_attenuation_unit(std::string_view text);  // "1/mm", "1/cm", "HU"

// An attenuation map in 1/mm. Negative numbers become 0. BadInput when the numbers cannot be what `unit` says (largest
// value above 0.06/mm or below 0.004/mm, one constant, small numbers as Hounsfield units), and for Hounsfield without
// `water`, mu of water at the photon energy: bilinear from air over water to bone (docs/files.md).
//
// A folder is read as a DICOM CT series, which must be in Hounsfield units: the slope above water follows from its kVp
// and the energy that `water` belongs to (other Hounsfield maps: 120 kVp), and it comes back averaged in blocks of up to
// 2 mm, for 512 x 512 slices say a thousand times more than a scan resolves. BadInput as load_ct_series() in
// ct_series.h.
Result<LoadedVolume> load_attenuation(const std::filesystem::path& path, AttenuationUnit unit,
                                      std::optional<PerMillimetre> water = std::nullopt);

// Brings a map into the coordinates of the scan (move_to_scan()) and adds warnings to it: a map that names no frame of
// reference is taken to be centred as the scan is; rows of the scan beyond the map's ends.
// BadInput: the map names a frame of reference, and the scan another or none.
Result<void> place_attenuation(LoadedVolume& map, const Identity& of_scan, const ProjectionGeometry& scan);

// Moves `volume`, read from a DICOM file of identity `of_volume`, into the coordinates of the scan `of_scan`.
// BadInput unless both name one frame of reference.
Result<void> move_to_scan(Volume& volume, const Identity& of_volume, const Identity& of_scan);

// What a result is called in a DICOM file.
struct ResultLabels {
  std::string series_description = "Tomogrid reconstruction";
  std::string software_version;  // "0.1.0"
  std::string parameters;        // "OSEM 8 subsets, 4 iterations": Derivation Description
};

// By extension: .nii, .nii.gz, .hv (with .v beside it), .dcm (without `identity`: of an anonymous patient), .png.
// The volume must be on a grid along the axes; values must be finite. DICOM holds 16-bit numbers with a stated rescale
// (docs/files.md): a relative error of at most 1/65535 of the maximum.
Result<void> save_volume(const std::filesystem::path& path, const Volume& volume, const Identity* identity = nullptr,
                         const ResultLabels& labels = {});
// Whether save_volume() knows this extension: asked before a long computation.
Result<void> can_save_volume(const std::filesystem::path& path);

// Invented names for a made-up scan, so that it can be told from a patient's.
struct ScanLabels {
  std::string patient_name = "Phantom^Tomogrid";
  std::string patient_id = "TOMOGRID-PHANTOM";
  std::string series_description = "Simulated SPECT";
  PatientPosition position = PatientPosition::HFS;
};

// By extension: .dcm (DICOM NM TOMO, 16-bit unsigned), .hs or .h33 (Interfile projections with .s or .i33 beside it:
// 16-bit unsigned when all values are whole and fit, else float). Reading it back gives the same projections. DICOM
// needs whole counts up to 65535 and, per detector, equal angular steps. `scatter` become energy windows 2, 3, ...; they
// must have the geometry of the first.
Result<void> save_scan(const std::filesystem::path& path, const Projections& projections, const ScanLabels& labels = {},
                       std::span<const Projections> scatter = {});

// One paragraph for people: size, spacing, arc, orbit, counts. Nothing that identifies.
std::string describe(const Projections& projections);
std::string describe(const Volume& volume);

// Grey, or a perceptually even colour map.
enum class Palette { Grey, Colour };
// One picture: axial slices through the centre of mass, a coronal, a sagittal and a maximum projection, in equal
// millimetres, patient's right on the left. `maximum` is white; default: the volume's largest value.
Result<void> save_mosaic(const std::filesystem::path& png, const Volume& volume, Palette palette = Palette::Grey,
                         std::optional<float> maximum = std::nullopt);

}  // namespace tomogrid::image
