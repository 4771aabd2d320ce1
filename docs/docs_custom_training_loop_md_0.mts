for (let update = 0; update < 3; update += 1) {
  const logs = await model.trainOnBatch(train.x, train.y);
  console.log(update, logs.loss);
}
