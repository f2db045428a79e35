// Forward and back projection over view groups, by threads and ranks, in an order that neither can change.
#include <omp.h>

#include <algorithm>
#include <cstring>

#include "recon/plan.h"

namespace tomogrid::recon {

struct Projector::Thread {
  Buffer<float> states, lines;
  std::vector<std::uint8_t> written;  // columns of the group's image
  std::array<std::vector<RowEntry>, kBatch> entries;  // copies with their own attenuation, when that is made each time
  std::array<Buffer<std::uint16_t>, kBatch> factors;
  RayScratch rays;
};

namespace {

constexpr std::size_t kCombineChunk = 64;  // columns that one task adds at a time

struct Span {
  std::size_t begin, end;
};
Span share(std::size_t count, std::size_t rank, std::size_t ranks) {
  return {count * rank / ranks, count * (rank + 1) / ranks};
}

// The largest complete subtrees of the binary tree over `count` groups that lie within [begin, end). A group beyond
// count is no obstacle: it does not exist.
void subtrees(std::size_t begin, std::size_t end, std::size_t count, std::vector<Span>& out) {
  while (begin < end) {
    std::size_t size = 1;
    while (begin % (2 * size) == 0 && (begin + 2 * size <= end || (end == count && begin + size < count))) size *= 2;
    out.push_back({begin, std::min(begin + size, count)});
    begin += size;
  }
}

}  // namespace

Projector::Projector(const PlanData& plan, Ranks& ranks) : plan_(plan), ranks_(ranks) {
  std::size_t groups = 0;
  for (const SubsetPlan& subset : plan.subsets) groups = std::max(groups, subset.groups.size());
  for (std::size_t g = 0; g < groups; ++g) group_images_.emplace_back(plan.image_size());
  for (int t = 0; t < omp_get_max_threads(); ++t) {
    auto thread = std::make_unique<Thread>();
    thread->states = Buffer<float>(plan.batch * plan.state_bins * plan.axial.line());
    thread->lines = Buffer<float>(2 * kRunLimit * plan.axial.line());
    thread->written.resize(plan.columns.size());
    threads_.push_back(std::move(thread));
  }
}

Projector::~Projector() = default;

std::array<ViewRows, kBatch> Projector::rows_of(std::size_t begin, std::size_t count, Thread& thread) const {
  std::array<ViewRows, kBatch> rows{};
  for (std::size_t v = 0; v < count; ++v) {
    const ViewPlan* view = &plan_.views[begin + v];
    if (plan_.attenuated && !plan_.forecast.attenuation_stored) {
      std::vector<RowEntry>& own = thread.entries[v];
      own.assign(view->entries.begin(), view->entries.end());
      const std::size_t kept = attenuate_view(plan_, plan_.map, view->view, own, thread.rays) * plan_.axial.line();
      if (thread.factors[v].size() == 0) thread.factors[v] = Buffer<std::uint16_t>(plan_.image_size());
      std::copy_n(thread.rays.table.data(), kept, thread.factors[v].data());
      rows[v] = {own.data(), view->runs.data(), view->layers.data(), view->layers.size(), thread.factors[v].data()};
      continue;
    }
    rows[v] = {view->entries.data(), view->runs.data(), view->layers.data(), view->layers.size(),
               plan_.attenuated ? view->attenuation : nullptr};
  }
  return rows;
}

template <class Work>
void Projector::for_batches(const Group& group, Work work) const {
  for (std::size_t begin = group.begin; begin < group.end; begin += plan_.batch) {
    work(begin, std::min(plan_.batch, group.end - begin));
  }
}

template <class Work>
void Projector::for_groups(std::size_t subset, Work work) {
  const SubsetPlan& part = plan_.subsets[subset];
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t g = 0; g < part.groups.size(); ++g) {
    Thread& thread = *threads_[static_cast<std::size_t>(omp_get_thread_num())];
    const Workspace workspace{thread.states.data(), thread.lines.data(), plan_.state_bins, plan_.axial.steps,
                              thread.written.data()};
    work(part.groups[g], group_images_[g], thread, workspace);
  }
}

// A group's image needs no clearing before it: its first view writes most of it. What no view has written is 0.
void Projector::backward_group(const Group& group, Buffer<float>& image, Thread& thread,
                               const std::function<void(std::size_t, std::size_t)>& batch) const {
  std::fill(thread.written.begin(), thread.written.end(), std::uint8_t{0});
  for_batches(group, batch);
  const std::size_t line = plan_.axial.line();
  for (std::size_t c = 0; c < thread.written.size(); ++c) {
    if (thread.written[c] == 0) std::fill_n(image.data() + c * line, line, 0.0F);
  }
}

template <class Finish>
void Projector::combine(std::size_t subset, float* out, Finish finish) {
  const SubsetPlan& part = plan_.subsets[subset];
  const std::size_t line = plan_.axial.line(), ranks = ranks_.size(), columns = plan_.columns.size();
  const Span own_columns = share(columns, ranks_.rank(), ranks);
  std::vector<const float*> leaves(part.group_count, nullptr);
  std::vector<std::ptrdiff_t> leaf_origin(part.group_count, 0);  // where in its array a leaf's first own column lies
  for (std::size_t g = 0; g < part.groups.size(); ++g) leaves[part.own_begin + g] = group_images_[g].data();
  Buffer<float> received;
  if (ranks > 1) {
    std::vector<std::vector<Span>> trees(ranks);
    for (std::size_t r = 0; r < ranks; ++r) {
      const Span groups = share(part.group_count, r, ranks);
      subtrees(groups.begin, groups.end, part.group_count, trees[r]);
    }
    std::vector<std::size_t> send_counts(ranks), receive_counts(ranks);
    const std::vector<Span>& mine = trees[ranks_.rank()];
    const std::size_t own_size = (own_columns.end - own_columns.begin) * line;
    std::size_t receive_size = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      const Span there = share(columns, r, ranks);
      send_counts[r] = mine.size() * (there.end - there.begin) * line;
      receive_counts[r] = trees[r].size() * own_size;
      receive_size += receive_counts[r];
    }
    Buffer<float> sent(mine.size() * columns * line);
    received = Buffer<float>(receive_size);
    std::size_t offset = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      const Span there = share(columns, r, ranks);
      for (const Span& tree : mine) {
        std::vector<const float*> parts;
        for (std::size_t g = tree.begin; g < tree.end; ++g) parts.push_back(leaves[g] + there.begin * line);
        const std::size_t n = (there.end - there.begin) * line;
        const std::size_t chunks = (n + kCombineChunk * line - 1) / (kCombineChunk * line);
#pragma omp parallel for schedule(static)
        for (std::size_t c = 0; c < chunks; ++c) {
          const std::size_t begin = c * kCombineChunk * line, size = std::min(n - begin, kCombineChunk * line);
          std::vector<const float*> shifted(parts);
          for (const float*& p : shifted) p += begin;
          plan_.kernels->add_tree(shifted.data(), shifted.size(), sent.data() + offset + begin, size);
        }
        offset += n;
      }
    }
    ranks_.exchange({sent.data(), sent.size()}, send_counts, {received.data(), received.size()}, receive_counts);
    std::fill(leaves.begin(), leaves.end(), nullptr);
    const float* arrived = received.data();
    for (std::size_t r = 0; r < ranks; ++r) {
      for (const Span& tree : trees[r]) {
        leaves[tree.begin] = arrived;
        arrived += own_size;
      }
    }
  } else {
    for (const float*& leaf : leaves) leaf += own_columns.begin * line;
  }
  const std::size_t own = own_columns.end - own_columns.begin, chunks = (own + kCombineChunk - 1) / kCombineChunk;
#pragma omp parallel
  {
    Buffer<float> sum(kCombineChunk * line);
    std::vector<const float*> shifted(leaves.size());
#pragma omp for schedule(static)
    for (std::size_t c = 0; c < chunks; ++c) {
      const std::size_t begin = c * kCombineChunk * line;
      const std::size_t size = std::min(own - c * kCombineChunk, kCombineChunk) * line;
      for (std::size_t g = 0; g < leaves.size(); ++g) shifted[g] = leaves[g] == nullptr ? nullptr : leaves[g] + begin;
      plan_.kernels->add_tree(shifted.data(), shifted.size(), sum.data(), size);
      finish(own_columns.begin * line + begin, size, sum.data());
    }
  }
  std::vector<std::size_t> counts(ranks);
  for (std::size_t r = 0; r < ranks; ++r)
    counts[r] = (share(columns, r, ranks).end - share(columns, r, ranks).begin) * line;
  ranks_.gather({out, plan_.image_size()}, counts);
}

void Projector::em_update(std::size_t subset, const Planes& planes, const float* penalty, float* estimate,
                          std::vector<PlaneTotals>& totals) {
  const std::size_t plane_size = plan_.plane_size(), line = plan_.axial.line(), state_size = plan_.state_bins * line;
  for_groups(subset, [&](const Group& group, Buffer<float>& image, Thread& thread, const Workspace& work) {
    backward_group(group, image, thread, [&](std::size_t begin, std::size_t count) {
      const std::array<ViewRows, kBatch> rows = rows_of(begin, count, thread);
      plan_.kernels->forward(rows.data(), count, estimate, work);
      for (std::size_t v = begin; v < begin + count; ++v) {
        float* state = work.states + (v - begin) * state_size;
        float* plane = state + plan_.margin * line;
        const float* background = planes.background.size() == 0 ? nullptr : planes.background.data() + v * plane_size;
        PlaneTotals& total = totals[plan_.views[v].view];
        total = {};
        plan_.kernels->ratio(plane, planes.measured.data() + v * plane_size, background, plan_.mask.data(),
                             plan_.projections.bins, plan_.axial.steps, total);
        std::memset(state, 0, plan_.margin * line * sizeof(float));
        std::memset(plane + plane_size, 0, plan_.margin * line * sizeof(float));
      }
      plan_.kernels->backward(rows.data(), count, image.data(), work);
    });
  });
  const float* sensitivity = plan_.subsets[subset].sensitivity.data();
  combine(subset, estimate, [&](std::size_t offset, std::size_t n, const float* correction) {
    if (penalty == nullptr) return plan_.kernels->update(estimate + offset, correction, sensitivity + offset, n);
    Buffer<float> divisor(n);
    for (std::size_t i = 0; i < n; ++i)
      divisor.data()[i] = std::max(sensitivity[offset + i] + penalty[offset + i], 0.1F * sensitivity[offset + i]);
    plan_.kernels->update(estimate + offset, correction, divisor.data(), n);
  });
  std::vector<double> shared(3 * totals.size(), 0.0);
  for (const Group& group : plan_.subsets[subset].groups) {
    for (std::size_t v = group.begin; v < group.end; ++v) {
      const std::size_t k = plan_.views[v].view;
      shared[3 * k] = totals[k].expected;
      shared[3 * k + 1] = totals[k].log_term;
      shared[3 * k + 2] = totals[k].excluded;
    }
  }
  ranks_.merge(shared);
  for (const std::size_t k : plan_.subsets[subset].views)
    totals[k] = {shared[3 * k], shared[3 * k + 1], shared[3 * k + 2]};
}

void Projector::backward(std::size_t subset, const float* planes, float* out) {
  const std::size_t plane_size = plan_.plane_size(), line = plan_.axial.line(), state_size = plan_.state_bins * line;
  for_groups(subset, [&](const Group& group, Buffer<float>& image, Thread& thread, const Workspace& work) {
    backward_group(group, image, thread, [&](std::size_t begin, std::size_t count) {
      std::memset(work.states, 0, count * state_size * sizeof(float));
      for (std::size_t v = begin; v < begin + count; ++v) {
        float* plane = work.states + (v - begin) * state_size + plan_.margin * line;
        for (std::size_t b = 0; b < plan_.projections.bins; ++b) {
          const float* source = planes == nullptr ? plan_.mask.data() : planes + v * plane_size + b * line;
          std::memcpy(plane + b * line, source, line * sizeof(float));
        }
      }
      plan_.kernels->backward(rows_of(begin, count, thread).data(), count, image.data(), work);
    });
  });
  combine(subset, out, [&](std::size_t offset, std::size_t n, const float* sum) {
    std::memcpy(out + offset, sum, n * sizeof(float));
  });
}

void Projector::forward(const float* image, float* planes) {
  const std::size_t plane_size = plan_.plane_size(), line = plan_.axial.line(), state_size = plan_.state_bins * line;
  for (std::size_t s = 0; s < plan_.subsets.size(); ++s) {
    for_groups(s, [&](const Group& group, Buffer<float>&, Thread& thread, const Workspace& work) {
      for_batches(group, [&](std::size_t begin, std::size_t count) {
        plan_.kernels->forward(rows_of(begin, count, thread).data(), count, image, work);
        for (std::size_t v = 0; v < count; ++v) {
          std::memcpy(planes + (begin + v) * plane_size, work.states + v * state_size + plan_.margin * line,
                      plane_size * sizeof(float));
        }
      });
    });
  }
}

Buffer<float> to_planes(const PlanData& plan, std::span<const float> projections) {
  const std::size_t bins = plan.projections.bins, rows = plan.projections.rows, line = plan.axial.line();
  Buffer<float> planes(plan.views.size() * plan.plane_size());
  planes.clear();
#pragma omp parallel for schedule(static)
  for (std::size_t v = 0; v < plan.views.size(); ++v) {
    const float* source = projections.data() + plan.views[v].view * bins * rows;
    float* plane = planes.data() + v * plan.plane_size();
    for (std::size_t row = 0; row < rows; ++row) {
      float* target = plane + plan.axial.at(row);
      for (std::size_t b = 0; b < bins; ++b) target[b * line] = source[row * bins + b];
    }
  }
  return planes;
}

void to_image(const PlanData& plan, std::span<const float> volume, float* image) {
  const image::VolumeGeometry& grid = plan.volume;
  std::memset(image, 0, plan.image_size() * sizeof(float));
#pragma omp parallel for schedule(static)
  for (std::size_t c = 0; c < plan.columns.size(); ++c) {
    const Column& column = plan.columns[c];
    for (std::size_t z = 0; z < grid.slices; ++z) {
      image[c * plan.axial.line() + plan.axial.at(z)] = volume[(z * grid.rows + column.iy) * grid.columns + column.ix];
    }
  }
}

std::vector<float> to_volume(const PlanData& plan, const float* image) {
  const image::VolumeGeometry& grid = plan.volume;
  std::vector<float> volume(grid.voxels(), 0.0F);
#pragma omp parallel for schedule(static)
  for (std::size_t z = 0; z < grid.slices; ++z) {
    for (std::size_t c = 0; c < plan.columns.size(); ++c) {
      const Column& column = plan.columns[c];
      volume[(z * grid.rows + column.iy) * grid.columns + column.ix] = image[c * plan.axial.line() + plan.axial.at(z)];
    }
  }
  return volume;
}

std::vector<float> forward_project(const Plan& plan, std::span<const float> volume) {
  const PlanData& p = plan.data();
  TOMOGRID_ASSERT(volume.size() == p.volume.voxels());
  SingleRank alone;
  Projector projector(p, alone);
  Buffer<float> image(p.image_size()), planes(p.views.size() * p.plane_size());
  to_image(p, volume, image.data());
  projector.forward(image.data(), planes.data());
  const std::size_t bins = p.projections.bins, rows = p.projections.rows;
  std::vector<float> projections(p.projections.elements(), 0.0F);
  for (std::size_t v = 0; v < p.views.size(); ++v) {
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t b = 0; b < bins; ++b) {
        projections[(p.views[v].view * rows + row) * bins + b] =
            planes.data()[v * p.plane_size() + b * p.axial.line() + p.axial.at(row)];
      }
    }
  }
  return projections;
}

std::vector<float> back_project(const Plan& plan, std::span<const float> projections) {
  const PlanData& p = plan.data();
  TOMOGRID_ASSERT(projections.size() == p.projections.elements());
  SingleRank alone;
  Projector projector(p, alone);
  const Buffer<float> planes = to_planes(p, projections);
  Buffer<float> image(p.image_size()), part(p.image_size());
  image.clear();
  for (std::size_t s = 0; s < p.subsets.size(); ++s) {
    projector.backward(s, planes.data(), part.data());
    for (std::size_t i = 0; i < image.size(); ++i) image.data()[i] += part.data()[i];
  }
  return to_volume(p, image.data());
}

}  // namespace tomogrid::recon
