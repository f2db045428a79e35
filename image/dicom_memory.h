// A DICOM file in memory as a stream that DCMTK can come back to. With its own buffer stream DCMTK allocates the length
// that an element claims before it looks for the bytes; a stream with a factory lets it pass over large elements, which
// fails when they are not there, and fetch them when asked. Includes DCMTK: for dicom_dataset.cpp only.
#pragma once

#include <dcmtk/config/osconfig.h>
// osconfig.h first
#include <dcmtk/dcmdata/dcistrma.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace tomogrid::image {

class MemoryProducer final : public DcmProducer {
 public:
  MemoryProducer(ByteView bytes, std::size_t position) : bytes_(bytes), position_(position) {}
  OFBool good() const override { return good_; }
  OFCondition status() const override { return good_ ? EC_Normal : EC_InvalidStream; }
  OFBool eos() override { return position_ >= bytes_.size(); }
  offile_off_t avail() override { return static_cast<offile_off_t>(bytes_.size() - position_); }
  offile_off_t read(void* out, offile_off_t length) override {
    const std::size_t n = within(length);
    std::memcpy(out, bytes_.data() + position_, n);
    position_ += n;
    return static_cast<offile_off_t>(n);
  }
  offile_off_t skip(offile_off_t length) override {
    const std::size_t n = within(length);
    position_ += n;
    return static_cast<offile_off_t>(n);
  }
  void putback(offile_off_t length) override {
    good_ = good_ && length >= 0 && static_cast<std::size_t>(length) <= position_;
    if (good_) position_ -= static_cast<std::size_t>(length);
  }

 private:
  std::size_t within(offile_off_t length) const {
    return length <= 0 ? 0 : std::min(static_cast<std::size_t>(length), bytes_.size() - position_);
  }
  ByteView bytes_;
  std::size_t position_;
  bool good_ = true;
};

// `bytes` outlives the stream and every data set read from it.
class MemoryStream final : public DcmInputStream {
 public:
  explicit MemoryStream(ByteView bytes, std::size_t position = 0)
      : DcmInputStream(&producer_), producer_(bytes, position), bytes_(bytes), start_(position) {}
  DcmInputStreamFactory* newFactory() const override;

 private:
  MemoryProducer producer_;
  ByteView bytes_;
  std::size_t start_;
};

class MemoryStreamFactory final : public DcmInputStreamFactory {
 public:
  MemoryStreamFactory(ByteView bytes, std::size_t position) : bytes_(bytes), position_(position) {}
  DcmInputStream* create() const override { return new MemoryStream(bytes_, position_); }
  DcmInputStreamFactory* clone() const override { return new MemoryStreamFactory(*this); }
  // DCMTK has no name for memory and treats only temporary files apart.
  DcmInputStreamFactoryType ident() const override { return DFT_DcmInputFileStreamFactory; }

 private:
  ByteView bytes_;
  std::size_t position_;
};

inline DcmInputStreamFactory* MemoryStream::newFactory() const {
  return new MemoryStreamFactory(bytes_, start_ + static_cast<std::size_t>(tell()));
}

}  // namespace tomogrid::image
