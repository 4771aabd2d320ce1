// What a GPU can do at most, and what waiting costs on it: the numbers that the drivers' model of
// sizes rests on (docs/adr/0009). One JSON object a line, {"measure", "value", "unit", "of"}: the
// median of some repeats, times by events over enough work, caches warm, clocks as they are.
// A measure that this GPU does not have is a line with "skipped" in place of a value.
//
//   gpu_roofline [NAME...]   those measures whose names begin so; default: all
#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace {

namespace groups = cooperative_groups;

constexpr int kRepeats = 9;
constexpr int kThreads = 256;

void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  std::fprintf(stderr, "gpu_roofline: %s: %s\n", what, cudaGetErrorString(result));
  std::exit(1);
}

// --- what runs -----------------------------------------------------------------------------------

__global__ void nothing() {}

/// Cycles of `rounds` block barriers, of thread 0.
__global__ void block_barriers(int rounds, long long* cycles) {
  const long long begin = clock64();
  for (int i = 0; i < rounds; ++i) __syncthreads();
  if (threadIdx.x == 0 && blockIdx.x == 0) *cycles = clock64() - begin;
}

__global__ void grid_barriers(int rounds) {
  groups::grid_group grid = groups::this_grid();
  for (int i = 0; i < rounds; ++i) grid.sync();
}

/// Each block writes 16 KiB of shared memory, meets its cluster, and reads its neighbour's.
__global__ void cluster_barriers(int rounds, int exchange, float* sink) {
#if __CUDA_ARCH__ >= 900
  constexpr int kQuads = (16 << 10) / 16;
  __shared__ float4 mine[kQuads];
  groups::cluster_group cluster = groups::this_cluster();
  const unsigned size = cluster.num_blocks();
  const float4* other =
      cluster.map_shared_rank(&mine[0], static_cast<int>((cluster.block_rank() + 1) % size));
  const int numbers = exchange ? kQuads : 0;
  float sum = 0;
  for (int i = 0; i < rounds; ++i) {
    for (int k = static_cast<int>(threadIdx.x); k < numbers; k += kThreads)
      mine[k] = make_float4(sum, 1.0f, 2.0f, 3.0f);
    cluster.sync();
    for (int k = static_cast<int>(threadIdx.x); k < numbers; k += kThreads) sum += other[k].y;
    cluster.sync();
  }
  if (sum < 0) *sink = sum;
#else
  static_cast<void>(rounds);
  static_cast<void>(exchange);
  static_cast<void>(sink);
#endif
}

/// 16 independent chains of multiply-adds a thread.
constexpr int kChains = 16;
__global__ void multiply_add(int rounds, float factor, float summand, float* sink) {
  float sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = static_cast<float>(threadIdx.x + i);
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) sums[i] = fmaf(sums[i], factor, summand);
  }
  float total = 0;
  for (int i = 0; i < kChains; ++i) total += sums[i];
  if (total == 0.123456f) *sink = total;
}

/// Reads of 16 bytes from shared memory, each address known only from what was read before it.
constexpr int kSharedQuads = 1024;
__global__ void read_shared(int rounds, float* sink) {
  __shared__ float4 quads[kSharedQuads];
  for (int k = static_cast<int>(threadIdx.x); k < kSharedQuads; k += static_cast<int>(blockDim.x))
    quads[k] = make_float4(0.0f, 1.0f, 2.0f, 3.0f);
  __syncthreads();
  float4 sum = make_float4(0, 0, 0, 0);
  int at = static_cast<int>(threadIdx.x);
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float4 quad = quads[(at + 128 * i) & (kSharedQuads - 1)];
      sum.x += quad.x, sum.y += quad.y, sum.z += quad.z, sum.w += quad.w;
    }
    at += 32;
  }
  if (sum.x + sum.y + sum.z + sum.w < 0) *sink = sum.x;
}

/// Every block reads all of `from`, from a place of its own on, `rounds` times; by the first-level
/// cache's way around (ld.cg).
__global__ void read_whole(const float4* from, int quads, int rounds, float* sink) {
  float4 sum = make_float4(0, 0, 0, 0);
  const int apart = static_cast<int>(blockIdx.x) * 977 * kThreads % quads;
  for (int round = 0; round < rounds; ++round) {
#pragma unroll 8
    for (int k = static_cast<int>(threadIdx.x); k < quads; k += kThreads) {
      const int at = k + apart;
      const float4 quad = __ldcg(from + (at < quads ? at : at - quads));
      sum.x += quad.x, sum.y += quad.y, sum.z += quad.z, sum.w += quad.w;
    }
  }
  if (sum.x + sum.y + sum.z + sum.w < 0) *sink = sum.x;
}

/// The whole grid goes once through `from`.
__global__ void read_once(const float4* from, size_t quads, float* sink) {
  float4 sum = make_float4(0, 0, 0, 0);
  const size_t step = size_t{gridDim.x} * blockDim.x;
  for (size_t k = size_t{blockIdx.x} * blockDim.x + threadIdx.x; k < quads; k += step) {
    const float4 quad = from[k];
    sum.x += quad.x, sum.y += quad.y, sum.z += quad.z, sum.w += quad.w;
  }
  if (sum.x + sum.y + sum.z + sum.w < 0) *sink = sum.x;
}

__global__ void copy_once(const float4* from, size_t quads, float4* to) {
  const size_t step = size_t{gridDim.x} * blockDim.x;
  for (size_t k = size_t{blockIdx.x} * blockDim.x + threadIdx.x; k < quads; k += step)
    to[k] = from[k];
}

/// Runs for that many cycles.
__global__ void timed_cycles(long long wanted, long long* cycles) {
  const long long begin = clock64();
  long long now = begin;
  while (now - begin < wanted) now = clock64();
  *cycles = now - begin;
}

// --- how it is measured --------------------------------------------------------------------------

class Bench {
 public:
  Bench(int names, char** name) : wanted_(name, name + names) {
    check(cudaGetDeviceProperties(&gpu_, 0), "reading the device");
    check(cudaStreamCreate(&stream_), "a stream");
    check(cudaEventCreate(&begin_), "an event");
    check(cudaEventCreate(&end_), "an event");
    check(cudaMalloc(&sink_, 256), "memory");
  }

  void run() {
    megahertz_ = clock();
    launches();
    barriers();
    arithmetic();
    memory();
  }

 private:
  bool wants(const char* name) const {
    return wanted_.empty() ||
           std::any_of(wanted_.begin(), wanted_.end(), [&](const std::string& w) {
             return std::strncmp(name, w.c_str(), w.size()) == 0;
           });
  }
  static void tell(const char* name, double value, const char* unit, const std::string& of) {
    std::printf("{\"measure\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"of\": \"%s\"}\n", name,
                value, unit, of.c_str());
    std::fflush(stdout);
  }
  static void skip(const char* name, const std::string& why) {
    std::printf("{\"measure\": \"%s\", \"skipped\": \"%s\"}\n", name, why.c_str());
    std::fflush(stdout);
  }
  static double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }

  /// Microseconds of the GPU that `work` takes, which queues something on the stream.
  double microseconds(const std::function<void()>& work) {
    std::vector<double> times;
    for (int repeat = -2; repeat < kRepeats; ++repeat) {
      check(cudaEventRecord(begin_, stream_), "an event");
      work();
      check(cudaGetLastError(), "a launch");
      check(cudaEventRecord(end_, stream_), "an event");
      check(cudaEventSynchronize(end_), "the work");
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, begin_, end_), "a time");
      if (repeat >= 0) times.push_back(1e3 * static_cast<double>(milliseconds));
    }
    return median(times);
  }

  double clock() {
    constexpr long long kCycles = 20'000'000;
    auto* cycles = reinterpret_cast<long long*>(sink_);
    const double us = microseconds([&] { timed_cycles<<<1, 1, 0, stream_>>>(kCycles, cycles); });
    const double megahertz = static_cast<double>(kCycles) / us;
    if (wants("clock")) tell("clock", megahertz, "MHz", "one thread that counts cycles");
    return megahertz;
  }

  void launches() {
    constexpr int kMany = 1000;
    if (wants("launch")) {
      const double us = microseconds([&] {
        for (int i = 0; i < kMany; ++i) nothing<<<1, 32, 0, stream_>>>();
      });
      tell("launch", us / kMany, "us", "an empty kernel, one behind the other in a stream");
    }
    if (wants("launch and wait")) {
      const double us = microseconds([&] {
        for (int i = 0; i < 100; ++i) {
          nothing<<<1, 32, 0, stream_>>>();
          check(cudaStreamSynchronize(stream_), "waiting");
        }
      });
      tell("launch and wait", us / 100, "us", "an empty kernel and the host's wait for it");
    }
    if (wants("graph node")) {
      cudaGraph_t graph;
      cudaGraphExec_t ready;
      check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capturing");
      for (int i = 0; i < kMany; ++i) nothing<<<1, 32, 0, stream_>>>();
      check(cudaStreamEndCapture(stream_, &graph), "capturing");
      check(cudaGraphInstantiate(&ready, graph, 0), "a graph");
      const double us = microseconds([&] { check(cudaGraphLaunch(ready, stream_), "a graph"); });
      tell("graph node", us / kMany, "us", "an empty kernel in a chain of 1000");
      check(cudaGraphExecDestroy(ready), "a graph");
      check(cudaGraphDestroy(graph), "a graph");
    }
  }

  void barriers() {
    for (const int threads : {128, 256, 1024}) {
      if (!wants("block barrier")) break;
      constexpr int kRounds = 20000;
      auto* cycles = reinterpret_cast<long long*>(sink_);
      microseconds([&] { block_barriers<<<1, threads, 0, stream_>>>(kRounds, cycles); });
      long long spent = 0;
      check(cudaMemcpy(&spent, cycles, sizeof spent, cudaMemcpyDeviceToHost), "a copy");
      tell("block barrier", 1e3 * static_cast<double>(spent) / kRounds / megahertz_, "ns",
           std::to_string(threads) + " threads");
    }
    if (wants("grid barrier")) grid_barrier();
    for (const int blocks : {2, 4, 8, 16}) {
      if (wants("cluster barrier")) cluster_barrier(blocks, false);
      if (wants("cluster exchange")) cluster_barrier(blocks, true);
    }
  }

  void grid_barrier() {
    if (!gpu_.cooperativeLaunch) return skip("grid barrier", "no cooperative launches");
    int rounds = 2000;
    void* arguments[] = {&rounds};
    const double us = microseconds([&] {
      check(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(grid_barriers),
                                        dim3(static_cast<unsigned>(gpu_.multiProcessorCount)),
                                        dim3(kThreads), arguments, 0, stream_),
            "a cooperative kernel");
    });
    tell("grid barrier", us / rounds, "us",
         std::to_string(gpu_.multiProcessorCount) + " blocks of 256 threads");
  }

  /// Why such clusters cannot be measured, by a launch of one; empty where they can. More than
  /// eight blocks are beyond what CUDA promises, and a GPU, its driver or a part of it may refuse
  /// them.
  std::string cluster_refusal(const cudaLaunchConfig_t& config, int blocks) {
    const auto* kernel = reinterpret_cast<const void*>(cluster_barriers);
    cudaError_t result = cudaSuccess;
    if (blocks > 8)
      result = cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
    int fitting = 0;
    if (result == cudaSuccess)
      result = cudaOccupancyMaxActiveClusters(&fitting, cluster_barriers, &config);
    if (result == cudaSuccess && fitting == 0) return "no room for one";
    if (result == cudaSuccess) result = cudaLaunchKernelEx(&config, cluster_barriers, 1, 0, sink_);
    if (result == cudaSuccess) result = cudaStreamSynchronize(stream_);
    cudaGetLastError();  // or it would be taken for that of the next launch
    return result == cudaSuccess ? "" : cudaGetErrorString(result);
  }

  /// Two barriers a round; with an exchange, 16 KiB written and 16 KiB of the neighbour read.
  void cluster_barrier(int blocks, bool exchange) {
    const char* const name = exchange ? "cluster exchange" : "cluster barrier";
    const std::string of = std::to_string(blocks) + " blocks of 256 threads";
    if (gpu_.major < 9) return skip(name, "clusters need compute capability 9.0");
    constexpr int kRounds = 5000;
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = static_cast<unsigned>(blocks);
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(kThreads);
    config.stream = stream_;
    config.attrs = &attribute;
    config.numAttrs = 1;
    const std::string refusal = cluster_refusal(config, blocks);
    if (!refusal.empty()) return skip(name, of + ": " + refusal);
    const double us = microseconds([&] {
      check(cudaLaunchKernelEx(&config, cluster_barriers, kRounds, exchange ? 1 : 0, sink_),
            "a cluster");
    });
    tell(name, us / kRounds / (exchange ? 1 : 2), "us",
         exchange ? of + ", 16 KiB written, 16 KiB of a neighbour read, two barriers" : of);
  }

  void arithmetic() {
    if (!wants("multiply-add")) return;
    constexpr int kRounds = 20000;
    const auto blocks = static_cast<unsigned>(4 * gpu_.multiProcessorCount);
    const double us = microseconds(
        [&] { multiply_add<<<blocks, kThreads, 0, stream_>>>(kRounds, 0.999f, 1e-3f, sink_); });
    const double all = static_cast<double>(blocks) * kThreads * kChains * kRounds;
    tell("multiply-add", 2 * all / us / 1e6, "TFLOP/s", "float32, from registers");
    tell("multiply-add", all / us / megahertz_ / gpu_.multiProcessorCount,
         "a cycle and multiprocessor", "float32, from registers");
  }

  void memory() {
    if (wants("shared memory")) {
      constexpr int kRounds = 20000;
      const auto blocks = static_cast<unsigned>(2 * gpu_.multiProcessorCount);
      const double us =
          microseconds([&] { read_shared<<<blocks, 512, 0, stream_>>>(kRounds, sink_); });
      const double bytes = static_cast<double>(blocks) * 512 * 8 * 16 * kRounds;
      tell("shared memory", bytes / us / megahertz_ / gpu_.multiProcessorCount,
           "bytes a cycle and multiprocessor", "reads of 16 bytes");
    }
    if (wants("second-level cache")) {
      second_level(1);
      second_level(gpu_.multiProcessorCount);
    }
    if (wants("memory")) main_memory();
    if (wants("host copy")) host_copies();
  }

  /// One block a multiprocessor, as the resident driver has, reads weights that do not fit on chip.
  void second_level(int blocks) {
    constexpr int kQuads = (1 << 20) / 16, kRounds = 20;
    float4* from = nullptr;
    check(cudaMalloc(&from, kQuads * sizeof(float4)), "memory");
    check(cudaMemset(from, 0, kQuads * sizeof(float4)), "memory");
    const double us = microseconds([&] {
      read_whole<<<static_cast<unsigned>(blocks), kThreads, 0, stream_>>>(from, kQuads, kRounds,
                                                                          sink_);
    });
    const double bytes = static_cast<double>(blocks) * kQuads * 16 * kRounds;
    tell("second-level cache", bytes / us / megahertz_ / blocks, "bytes a cycle and multiprocessor",
         "1 MiB, read by " + std::to_string(blocks) + (blocks == 1 ? " block" : " blocks") +
             " of 256 threads");
    check(cudaFree(from), "memory");
  }

  void main_memory() {
    constexpr size_t kBytes = size_t{1} << 30;
    float4 *from = nullptr, *to = nullptr;
    check(cudaMalloc(&from, kBytes), "memory");
    check(cudaMalloc(&to, kBytes), "memory");
    check(cudaMemset(from, 0, kBytes), "memory");
    const auto blocks = static_cast<unsigned>(8 * gpu_.multiProcessorCount);
    const double reading =
        microseconds([&] { read_once<<<blocks, 512, 0, stream_>>>(from, kBytes / 16, sink_); });
    tell("memory read", static_cast<double>(kBytes) / reading / 1e3, "GB/s", "1 GiB");
    const double copying =
        microseconds([&] { copy_once<<<blocks, 512, 0, stream_>>>(from, kBytes / 16, to); });
    tell("memory copy", 2 * static_cast<double>(kBytes) / copying / 1e3, "GB/s",
         "1 GiB, bytes read and bytes written");
    check(cudaFree(from), "memory");
    check(cudaFree(to), "memory");
  }

  void host_copies() {
    constexpr size_t kBytes = size_t{4} << 20;
    void *host = nullptr, *there = nullptr;
    check(cudaMallocHost(&host, kBytes), "pinned memory");
    check(cudaMalloc(&there, kBytes), "memory");
    std::memset(host, 0, kBytes);
    for (const bool in : {true, false}) {
      const double us = microseconds([&] {
        for (int i = 0; i < 16; ++i) {
          const auto way = in ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
          check(cudaMemcpyAsync(in ? there : host, in ? host : there, kBytes, way, stream_),
                "a copy");
        }
      });
      tell("host copy", 16 * static_cast<double>(kBytes) / us / 1e3, "GB/s",
           in ? "to the GPU, pinned blocks of 4 MiB" : "from the GPU, pinned blocks of 4 MiB");
    }
    check(cudaFreeHost(host), "pinned memory");
    check(cudaFree(there), "memory");
  }

  std::vector<std::string> wanted_;
  cudaDeviceProp gpu_ = {};
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  float* sink_ = nullptr;
  double megahertz_ = 1;
};

}  // namespace

int main(int argc, char** argv) {
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "gpu_roofline: no CUDA device was found (%s)\n",
                 cudaGetErrorString(found));
    return 1;
  }
  Bench(argc - 1, argv + 1).run();
  return 0;
}
