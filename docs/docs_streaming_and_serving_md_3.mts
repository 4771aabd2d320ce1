try {
  await model.predict(train.x, { signal: AbortSignal.abort() });
} catch (error) {
  if (error instanceof LookbackError && error.code === 'ERR_ABORTED') console.log('cancelled');
  else throw error;
}
