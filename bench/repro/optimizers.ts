/** Optimizers that several comparisons share. */

/** RMSprop as TensorFlow 1 has it, which the authors of the orthogonal cells trained with. */
export const tf1Rmsprop = (learningRate: number) => ({
  kind: 'rmsprop',
  learningRate,
  rho: 0.9,
  epsilon: 1e-10,
  epsilonInside: true,
  initialMeanSquare: 1,
});

/** The matrix behind the orthogonal one learns ten times more slowly than the rest, as published. */
export const slowA = [{ match: 'A', optimizer: tf1Rmsprop(1e-4), slower: 10 }];
