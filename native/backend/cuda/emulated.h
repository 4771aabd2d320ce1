/// The threads of a recurrence's block on a host: for tests without a GPU.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "backend/cuda/block_sync.h"
#include "backend/cuda/emulated_fibers.h"

namespace lookback {

/// In which order the threads of a block, and the blocks of a cluster, run, which barrier they
/// leave out, and when they find the job cancelled; for tests.
struct EmulatedSchedule {
  bool descending = false;  ///< the last thread goes first
  SyncSite left_out = SyncSite::kCount;
  int looks = -1;  ///< of a cluster at the caller's flag that find nothing; the next does; -1: all
};
EmulatedSchedule& emulated_schedule();

/// What the threads of an emulated cluster share; mostly it is a single block.
struct EmulatedCluster {
  EmulatedCluster(int blocks, int block_threads, const EmulatedSchedule& schedule)
      : threads(block_threads),
        team(blocks * block_threads, block_threads),
        left_out(schedule.left_out),
        looks(schedule.looks),
        stop(static_cast<size_t>(blocks)) {}

  int threads;  ///< of a block
  FiberTeam team;
  SyncSite left_out;
  int looks;
  std::vector<char> stop;          ///< of each block
  std::vector<std::byte*> shared;  ///< memory of each block
};

class EmulatedThreads {
 public:
  static constexpr int kStopEvery = 1;
  /// So that few threads have room for as many shares as those of a GPU's block.
  static constexpr int kHeldShares = 128;
  /// Member `member` of the cluster that begins with block `first`.
  EmulatedThreads(EmulatedCluster* cluster, int member, int first, int blocks)
      : cluster_(cluster),
        member_(member),
        rank_(member / cluster->threads),
        block_(first + rank_),
        blocks_(blocks) {}
  int thread() const { return member_ % cluster_->threads; }
  int threads() const { return cluster_->threads; }
  int block() const { return block_; }
  int blocks() const { return blocks_; }
  void sync(SyncSite site) const {
    if (site != cluster_->left_out) cluster_->team.wait(member_);
  }
  void arrive(SyncSite site) const {
    if (site != cluster_->left_out) cluster_->team.arrive_at_all(member_);
  }
  void wait(SyncSite site) const {
    if (site != cluster_->left_out) cluster_->team.wait_for_all(member_);
  }
  template <class S>
  S* peer(S* own, int rank) const {
    const auto& shared = cluster_->shared;
    const auto offset = reinterpret_cast<std::byte*>(own) - shared[static_cast<size_t>(rank_)];
    return reinterpret_cast<S*>(shared[static_cast<size_t>(rank)] + offset);
  }
  bool agree(const std::atomic<bool>* flag) const {
    if (flag == nullptr) return false;
    char& told = cluster_->stop[static_cast<size_t>(rank_)];
    if (thread() == 0) {
      const bool found = cluster_->looks-- == 0;
      told = found || flag->load(std::memory_order_relaxed) ? 1 : 0;
    }
    cluster_->team.wait(member_);
    const bool stop = told != 0;
    cluster_->team.wait(member_);
    return stop;
  }

 private:
  EmulatedCluster* cluster_;
  int member_, rank_, block_, blocks_;
};

}  // namespace lookback
