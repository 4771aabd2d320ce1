#include "ops/linalg.h"

#include <Eigen/QR>

namespace lookback {

void orthogonalise(int64_t rows, int64_t cols, double* matrix) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::Map<Matrix> target(matrix, rows, cols);
  const bool wide = cols > rows;
  const Matrix tall = wide ? Matrix(target.transpose()) : Matrix(target);
  const Eigen::HouseholderQR<Matrix> qr(tall);
  Matrix q = qr.householderQ() * Matrix::Identity(tall.rows(), tall.cols());
  // Without this the distribution leans: Householder's R has a diagonal of arbitrary sign.
  for (Eigen::Index j = 0; j < q.cols(); ++j) {
    if (qr.matrixQR()(j, j) < 0) q.col(j) = -q.col(j);
  }
  if (wide) {
    target = q.transpose();
  } else {
    target = q;
  }
}

}  // namespace lookback
