/// A device on the host: what its session holds. Its memory cannot be touched but inside the
/// calls of the table and inside kernels, so host code that follows a device pointer dies at once,
/// and every block has sentinels behind it that are looked at when it is released.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "backend/cuda/api.h"
#include "backend/cuda/blas.h"
#include "backend/cuda/emulated_fibers.h"

namespace lookback {

/// Addresses reserved for the memory of one session, handed out first fit.
class EmulatedHeap {
 public:
  /// `open`: the host may touch it at any time.
  explicit EmulatedHeap(bool open);
  ~EmulatedHeap();
  EmulatedHeap(const EmulatedHeap&) = delete;
  EmulatedHeap& operator=(const EmulatedHeap&) = delete;

  /// Null where nothing is left.
  void* allocate(int64_t bytes);
  /// Dies where something wrote behind the block.
  void release(void* memory);
  int64_t available() const;
  /// Lets the host in, and out again; nests.
  void open();
  void close();

 private:
  char* base_ = nullptr;
  int64_t top_ = 0;                    ///< nothing above was ever handed out
  std::map<int64_t, int64_t> free_;    ///< begin -> bytes
  std::map<int64_t, int64_t> used_;    ///< likewise, sentinels included
  std::map<int64_t, int64_t> wanted_;  ///< begin -> bytes asked for
  int open_;
};

/// Launches as they came, with copies of their arguments.
struct CudaRecord {
  struct Launch {
    int32_t operation, dtype;
    std::vector<char> arguments;
  };
  std::vector<Launch> launches;
};

struct CudaSession {
  explicit CudaSession(bool open) : heap(open) {}
  EmulatedHeap heap;
  std::unique_ptr<CudaRecord> recording;  ///< null but between begin_record and end_record
  CudaBlas blas;
  const std::atomic<bool>* cancel = nullptr;
  std::atomic<bool> never{false};  ///< what kernels poll while nobody has given a flag
};

/// Device memory can be touched while one of these lives.
class EmulatedAccess {
 public:
  explicit EmulatedAccess(CudaSession& session) : heap_(session.heap) { heap_.open(); }
  ~EmulatedAccess() { heap_.close(); }
  EmulatedAccess(const EmulatedAccess&) = delete;
  EmulatedAccess& operator=(const EmulatedAccess&) = delete;

 private:
  EmulatedHeap& heap_;
};

/// A thread of a block, for the operations of operations.h.
class EmulatedKernelBlock {
 public:
  EmulatedKernelBlock(FiberTeam& team, char* shared, int thread, int threads, int64_t index)
      : team_(team), shared_(shared), thread_(thread), threads_(threads), index_(index) {}
  int thread() const { return thread_; }
  int threads() const { return threads_; }
  int64_t index() const { return index_; }
  void sync() const { team_.wait(thread_); }
  template <class T>
  T* shared() const {
    return reinterpret_cast<T*>(shared_);
  }

 private:
  FiberTeam& team_;
  char* shared_;
  int thread_, threads_;
  int64_t index_;
};

/// For tests: the allocation after `count` more ones fails, on whatever session comes first; -1:
/// none.
void emulated_fail_allocation(int64_t count);
/// For tests: every later call of every session reports a lost device, until called with false.
void emulated_lose_device(bool lost);
/// For tests: the library that later sessions open as cuBLAS, which must work on the host's memory;
/// null, as at first: none. The path outlives them.
void emulated_use_blas(const char* path);

/// For tests: blocks of the largest cluster that there is room for, whatever the description says,
/// until called with `kMostCluster`.
void emulated_limit_clusters(int32_t most);
int32_t emulated_largest_cluster();

/// For tests: records that all sessions have replayed; and whether every later one fails to end.
int64_t emulated_replays();
void emulated_refuse_records(bool refuse);

const CudaTable& emulated_cuda_table();
/// The same device, but the host may touch its memory at any time: to let it in and out takes twice
/// as long as all else that many small passes do.
const CudaTable& emulated_open_table();

}  // namespace lookback
