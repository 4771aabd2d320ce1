const { train } = await datasets.mnist({
  dir: 'downloads/mnist',
  download: {
    onProgress: ({ file, received, total }) =>
      console.log(`${file}: ${received} of ${total} bytes`),
    signal: AbortSignal.timeout(600_000),
  },
});
