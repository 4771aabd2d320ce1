/// The places where the threads of a block wait for each other. Each has a name, so that a test can
/// leave one out and see that it is missed.
#pragma once

namespace lookback {

enum class SyncSite {
  kOperation,  ///< after work on rows and units
  kPartials,   ///< between the parts of a sum and their total
  kProduct,    ///< after a product
  kReduction,  ///< after statistics over the batch
  kStaging,    ///< after columns have moved between shared and global memory
  kWeights,    ///< after the weights have come into shared memory
  kCount
};

}  // namespace lookback
