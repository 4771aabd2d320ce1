#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "backend/cuda/emulated_session.h"
#include "backend/cuda/faults.h"
#include "backend/cuda/operation_list.h"
#include "backend/cuda/recurrent_operations.h"
#include "base/error.h"

namespace lookback {
namespace {

constexpr int64_t kReserved = int64_t{4} << 30;
constexpr int64_t kLine = 256;
constexpr int64_t kSentinels = 64;
constexpr char kSentinel = 0x5a;
constexpr char kGarbage = 0x7f;  ///< what memory that is not zeroed holds: large numbers
/// Odd and small, so that work divides unevenly; a power of two hides forgotten cases.
constexpr int kThreads = 3;
constexpr uintptr_t kAlign = 64;

std::atomic<int64_t> allocations_left{-1};
std::atomic<bool> lost{false};
std::atomic<int64_t> replays{0};
std::atomic<bool> refuses_records{false};
std::atomic<const char*> blas_path{nullptr};
std::atomic<int32_t> largest_cluster{kMostCluster};

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "emulated device: %s\n", what);
  std::abort();
}

int32_t alive(const char* what, CudaFault* fault) {
  if (!lost.load()) return kCudaOk;
  return set_fault(fault, kCudaLost, what, "the device is lost (as the test asked for)");
}

/// As `enter_alone` of library.cu.
int32_t alive_alone(const CudaSession* session, const char* what, CudaFault* fault) {
  if (session->recording != nullptr)
    return set_fault(fault, kCudaFailed, what, "not while launches are recorded");
  return alive(what, fault);
}

}  // namespace

EmulatedHeap::EmulatedHeap(bool open) : open_(open ? 1 : 0) {
  void* memory = mmap(nullptr, static_cast<size_t>(kReserved), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<char*>(memory);
}

EmulatedHeap::~EmulatedHeap() { munmap(base_, static_cast<size_t>(kReserved)); }

void EmulatedHeap::open() {
  if (open_++ > 0 || top_ == 0) return;
  if (mprotect(base_, static_cast<size_t>(top_), PROT_READ | PROT_WRITE) != 0) die("mprotect");
}

void EmulatedHeap::close() {
  if (--open_ > 0 || top_ == 0) return;
  if (mprotect(base_, static_cast<size_t>(top_), PROT_NONE) != 0) die("mprotect");
}

int64_t EmulatedHeap::available() const {
  int64_t sum = kReserved - top_;
  for (const auto& [begin, bytes] : free_) sum += bytes;
  return sum;
}

void* EmulatedHeap::allocate(int64_t bytes) {
  if (bytes > kReserved - kSentinels - kLine) return nullptr;
  const int64_t size = (bytes + kSentinels + kLine - 1) / kLine * kLine;
  auto place = std::find_if(free_.begin(), free_.end(),
                            [size](const auto& each) { return each.second >= size; });
  int64_t begin = top_;
  if (place != free_.end()) {
    begin = place->first;
    const int64_t rest = place->second - size;
    free_.erase(place);
    if (rest > 0) free_[begin + size] = rest;
  } else {
    constexpr int64_t kPage = 1 << 16;
    if (top_ + size > kReserved) return nullptr;
    // Whole pages come in; what is over is free.
    const int64_t grown = std::min(kReserved, (top_ + size + kPage - 1) / kPage * kPage);
    if (grown > begin + size) free_[begin + size] = grown - begin - size;
    const bool was_open = open_ > 0;
    top_ = grown;
    if (was_open && mprotect(base_, static_cast<size_t>(top_), PROT_READ | PROT_WRITE) != 0)
      die("mprotect");
  }
  used_[begin] = size;
  wanted_[begin] = bytes;
  open();
  std::memset(base_ + begin + bytes, kSentinel, static_cast<size_t>(size - bytes));
  close();
  return base_ + begin;
}

void EmulatedHeap::release(void* memory) {
  const int64_t begin = static_cast<char*>(memory) - base_;
  const auto used = used_.find(begin);
  if (used == used_.end()) die("release of what was never allocated");
  open();
  for (int64_t i = wanted_[begin]; i < used->second; ++i)
    if (base_[begin + i] != kSentinel) die("something wrote behind a block");
  close();
  auto block = free_.emplace(begin, used->second).first;
  used_.erase(used);
  wanted_.erase(begin);
  const auto next = std::next(block);
  if (next != free_.end() && block->first + block->second == next->first) {
    block->second += next->second;
    free_.erase(next);
  }
  if (block == free_.begin()) return;
  const auto before = std::prev(block);
  if (before->first + before->second != block->first) return;
  before->second += block->second;
  free_.erase(block);
}

void emulated_fail_allocation(int64_t count) { allocations_left.store(count); }
void emulated_lose_device(bool now) { lost.store(now); }
int64_t emulated_replays() { return replays.load(); }
void emulated_refuse_records(bool refuse) { refuses_records.store(refuse); }
void emulated_use_blas(const char* path) { blas_path.store(path); }
void emulated_limit_clusters(int32_t most) { largest_cluster.store(most); }
int32_t emulated_largest_cluster() { return largest_cluster.load(); }

namespace {

int32_t device_count(int32_t* count, CudaFault*) {
  *count = 1;
  return kCudaOk;
}

int32_t device_info(int32_t, CudaDeviceInfo* info, CudaFault*) {
  *info = CudaDeviceInfo();
  std::strncpy(info->name, "host threads", sizeof info->name - 1);
  info->major = 9;
  info->multiprocessors = 2;
  info->shared_bytes = 48 << 10;
  info->registers = 1 << 16;
  info->max_cluster = kMostCluster;
  info->total_bytes = info->free_bytes = kReserved;
  info->can_map_host = 1;
  return kCudaOk;
}

template <bool open_memory>
int32_t open_session(int32_t, CudaSession** session, CudaFault* fault) {
  if (alive("opening the device", fault) != kCudaOk) return fault->status;
  try {
    *session = new CudaSession(open_memory);
  } catch (const std::bad_alloc&) {
    return set_fault(fault, kCudaNoMemory, "opening the device", "no addresses", kReserved, 0);
  }
  return kCudaOk;
}

int32_t allocate(CudaSession* session, int64_t bytes, int32_t zeroed, void** memory,
                 CudaFault* fault) {
  if (alive_alone(session, "an allocation", fault) != kCudaOk) return fault->status;
  const bool refused = allocations_left.load() >= 0 && allocations_left.fetch_sub(1) == 0;
  *memory = refused ? nullptr : session->heap.allocate(bytes);
  if (*memory == nullptr) {
    return set_fault(fault, kCudaNoMemory, "an allocation", "not enough memory", bytes,
                     session->heap.available());
  }
  const EmulatedAccess access(*session);
  std::memset(*memory, zeroed != 0 ? 0 : kGarbage, static_cast<size_t>(bytes));
  return kCudaOk;
}

void release(CudaSession* session, void* memory) {
  if (memory != nullptr) session->heap.release(memory);
}

/// Small: it is filled with garbage for every session.
constexpr BlasMemory kBlasMemory = {4096, allocate, release};

void close_session(CudaSession* session) {
  session->blas.close(session, kBlasMemory);
  delete session;
}

int32_t blas(CudaSession* session, CudaBlasInfo* info, CudaFault* fault) {
  const char* const path = blas_path.load();
  // A real cuBLAS would follow the host's addresses on a GPU.
  const int32_t status =
      session->blas.open(session, kBlasMemory, session, path != nullptr ? path : "off", fault);
  *info = session->blas.info();
  return status;
}

int32_t zero(CudaSession* session, void* to, int64_t bytes, CudaFault* fault) {
  if (alive_alone(session, "zeroing", fault) != kCudaOk) return fault->status;
  const EmulatedAccess access(*session);
  std::memset(to, 0, static_cast<size_t>(bytes));
  return kCudaOk;
}

int32_t copy(CudaSession* session, const void* from, int64_t bytes, void* to, CudaFault* fault) {
  if (alive_alone(session, "a copy", fault) != kCudaOk) return fault->status;
  const EmulatedAccess access(*session);
  std::memcpy(to, from, static_cast<size_t>(bytes));
  return kCudaOk;
}

int32_t wait(CudaSession* session, CudaFault* fault) {
  return alive_alone(session, "waiting", fault);
}

void set_cancel(CudaSession* session, const void* flag) {
  session->cancel = static_cast<const std::atomic<bool>*>(flag);
}

const void* cancel_flag(CudaSession* session) {
  return session->cancel != nullptr ? session->cancel : &session->never;
}

/// All blocks, one after another, by one team.
template <class Body>
void run_blocks(int threads, int64_t shared_bytes, const Body& body) {
  FiberTeam team(threads);
  std::vector<char> shared(static_cast<size_t>(shared_bytes) + kAlign);
  const auto at = reinterpret_cast<uintptr_t>(shared.data());
  char* const aligned = shared.data() + (kAlign - at % kAlign) % kAlign;
  const int64_t blocks = body.blocks();
  const auto member = [&](int thread) {
    for (int64_t index = 0; index < blocks; ++index) {
      body(EmulatedKernelBlock(team, aligned, thread, threads, index));
      team.wait(thread);
    }
  };
  if (blocks > 0) team.run(member);
}

/// In an order that no item may rely on.
template <class Op>
void run_items(const Op& op) {
  const int64_t n = op.items();
  for (int64_t i = 1; i < n; i += 2) op(i);
  for (int64_t i = (n - 1) / 2 * 2; i >= 0 && n > 0; i -= 2) op(i);
}

template <class S>
void run(const GemmOp<S>& op) {
  const GemmBody<S, EmulatedGemmTile> body{op};
  run_blocks(EmulatedGemmTile::threads, body.kShared, body);
}

template <class Op>
void run(const Op& op) {
  if constexpr (requires { op.items(); }) {
    run_items(op);
  } else {
    run_blocks(kThreads, Op::kShared, op);
  }
}

template <class S>
int32_t run(CudaSession* session, const BlasGemmOp<S>& op, CudaFault* fault) {
  return session->blas.multiply(op.product, fault);
}

template <class Op>
int32_t run(CudaSession*, const Op& op, CudaFault*) {
  run(op);
  return kCudaOk;
}

int32_t launch(CudaSession* session, int32_t operation, int32_t dtype, const void* arguments,
               int64_t bytes, CudaFault* fault) {
  if (alive("a launch", fault) != kCudaOk) return fault->status;
  if (session->recording != nullptr) {
    const char* const from = static_cast<const char*>(arguments);
    session->recording->launches.push_back({operation, dtype, {from, from + bytes}});
    return kCudaOk;
  }
  const EmulatedAccess access(*session);
  if (operation >= kCudaRecurrent)
    return launch_recurrent(session, operation, dtype, arguments, bytes, fault);
  int32_t status = kCudaOk;
  const auto go = [&](const auto& op) { status = run(session, op, fault); };
  const bool known = dtype == sizeof(float)
                         ? with_operation(Operations<float>(), operation, arguments, bytes, go)
                         : with_operation(Operations<double>(), operation, arguments, bytes, go);
  return known ? status : set_fault(fault, kCudaFailed, "a launch", "unknown operation");
}

int32_t count_clusters(CudaSession* session, int32_t dtype, const void* arguments, int64_t bytes,
                       int32_t* count, CudaFault* fault) {
  if (alive("counting clusters", fault) != kCudaOk) return fault->status;
  return count_loop_clusters(session, dtype, arguments, bytes, count, fault);
}

int32_t begin_record(CudaSession* session, CudaFault* fault) {
  if (alive_alone(session, "recording launches", fault) != kCudaOk) return fault->status;
  session->recording = std::make_unique<CudaRecord>();
  return kCudaOk;
}

int32_t end_record(CudaSession* session, CudaRecord** record, CudaFault* fault) {
  std::unique_ptr<CudaRecord> made = std::move(session->recording);
  if (record == nullptr) return kCudaOk;
  if (refuses_records.load())
    return set_fault(fault, kCudaFailed, "recording launches", "refused (as the test asked for)");
  *record = made.release();
  return alive("recording launches", fault);
}

int32_t replay(CudaSession* session, CudaRecord* record, CudaFault* fault) {
  ++replays;
  for (const CudaRecord::Launch& each : record->launches) {
    const auto bytes = static_cast<int64_t>(each.arguments.size());
    if (launch(session, each.operation, each.dtype, each.arguments.data(), bytes, fault) != kCudaOk)
      return fault->status;
  }
  return kCudaOk;
}

void drop_record(CudaSession*, CudaRecord* record) { delete record; }

}  // namespace

const CudaTable& emulated_cuda_table() {
  static const CudaTable table = {kCudaApiVersion,
                                  sizeof(CudaTable),
                                  cuda_layout(),
                                  "emulated",
                                  device_count,
                                  device_info,
                                  open_session<false>,
                                  close_session,
                                  allocate,
                                  release,
                                  zero,
                                  copy,
                                  copy,
                                  copy,
                                  wait,
                                  set_cancel,
                                  cancel_flag,
                                  launch,
                                  begin_record,
                                  end_record,
                                  replay,
                                  drop_record,
                                  blas,
                                  count_clusters};
  return table;
}

const CudaTable& emulated_open_table() {
  static const CudaTable table = [] {
    CudaTable open = emulated_cuda_table();
    open.open = open_session<true>;
    return open;
  }();
  return table;
}

}  // namespace lookback
