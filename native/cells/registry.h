/// The one list of cells. A key may stand for several types: the first whose `accepts` says yes is
/// taken.
#pragma once

#include "cells/bnlstm.h"
#include "cells/enrnn.h"
#include "cells/exprnn.h"
#include "cells/gru.h"
#include "cells/gru_norm.h"
#include "cells/larnn.h"
#include "cells/lstm.h"
#include "cells/lstm_norm.h"
#include "cells/rnn.h"
#include "cells/rnn_norm.h"
#include "cells/rra.h"
#include "cells/scornn.h"
#include "cells/scurnn.h"

namespace lookback {

template <class... Types>
struct CellList {
  static constexpr int kSize = sizeof...(Types);
};

using Cells = CellList<Lstm, Larnn<NormKind::kNone>, Larnn<NormKind::kLayer>,
                       Larnn<NormKind::kBatch>, Rnn, Gru, Rra, Scornn, Enrnn, Exprnn, Scurnn,
                       LayerNormLstm, LayerNormRnn, LayerNormGru, BnLstm>;

}  // namespace lookback
