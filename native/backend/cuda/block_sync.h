/// The places where the threads of a block, or of a cluster of blocks, wait for each other. Each
/// has a name, so that a test can leave one out and see that it is missed. (Columns that move
/// between shared and global memory need none: a thread moves the same numbers in both directions,
/// and an operation always follows before another thread reads them.)
#pragma once

namespace lookback {

enum class SyncSite {
  kOperation,  ///< after work on rows and units
  kPartials,   ///< between the parts of a sum and their total
  kProduct,    ///< after a product
  kReduction,  ///< after statistics over the batch
  kParts,      ///< before those are made of the parts of them that threads have found
  kHalves,     ///< before as many of the parts again meet the others
  // Of all blocks of a cluster:
  kBegun,      ///< before the first that one block writes into another's memory
  kExchange,   ///< before a product's results go to all blocks
  kExchanged,  ///< after that
  kStop,       ///< after all have been told whether to go on
  kSums,       ///< between what each block has summed over its share of the batch and the total
  kLeave,      ///< before a block goes whose sums others may still read
  kCount
};

}  // namespace lookback
