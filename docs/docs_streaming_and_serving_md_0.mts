using stream = model.createStream();
const features = train.x.shape[2];
for (let step = 0; step < train.x.shape[1]; step += 1) {
  const sample = train.x.data.subarray(step * features, (step + 1) * features);
  const { data } = stream.step({ shape: [1, features], data: sample });
  console.log(step, data);
}
