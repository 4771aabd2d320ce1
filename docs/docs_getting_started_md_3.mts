await model.fit(train, {
  epochs: 4,
  batchSize: 8,
  accumulateSteps: 4, // an update from 4 batches, as from one of 32 rows
  validationData: held, // or a source of batches, of which validationSteps takes the first
  validationFreq: 2, // after every second epoch; callbacks that watch valLoss count those
  schedule: schedules.cosine({ warmup: 1 }),
  callbacks: [
    callbacks.earlyStopping({ patience: 3, restoreBestWeights: true }),
    callbacks.reduceLROnPlateau({ patience: 1, factor: 0.5 }),
    callbacks.csvLogger({ path: 'run/log.csv' }),
    callbacks.tensorBoard({ dir: 'run/board' }),
    callbacks.timeLimit({ seconds: 3600 }),
  ],
  signal: AbortSignal.timeout(3_600_000),
});
