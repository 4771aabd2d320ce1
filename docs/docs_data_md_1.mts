const hours = Array.from({ length: 600 }, (_, hour) => ({
  hour,
  load: 900 + 80 * Math.sin(hour / 4) + (hour % 168 < 120 ? 100 : 0),
  day: hour % 168 < 120 ? 'work' : 'free',
}));
const { train, validation, test, featureNames, preprocessing } = datasets.fromArrays(hours, {
  features: ['load', 'day'],
  categorical: ['day'],
  target: 'load',
  steps: 24,
  horizon: 6,
  time: 'hour',
  split: { validation: 0.1, test: 0.2 },
});
console.log(train.x.shape, train.y.shape, featureNames); // [391, 24, 3] [391, 6] load, day=free, day=work
