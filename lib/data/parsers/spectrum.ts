/**
 * Short-time spectra of sound, and their mel bands.
 */

/** How sound is cut into frames. */
export interface Frames {
  /** Samples of a frame. */
  length: number;
  /** Samples from a frame to the next. */
  hop: number;
}

/** How many whole frames `samples` samples have. */
export function frameCount(samples: number, { length, hop }: Frames): number {
  return samples < length ? 0 : 1 + Math.floor((samples - length) / hop);
}

/**
 * The power spectrum of frames: Hann window, zeros up to a power of two, `|X(k)|^2` for `k` from 0 to half of it.
 */
export class Spectrum {
  readonly #frames: Frames;
  readonly #window: Float64Array;
  readonly #cos: Float64Array;
  readonly #sin: Float64Array;
  readonly #re: Float64Array;
  readonly #im: Float64Array;
  /** Points of the transform. */
  readonly size: number;
  /** Bins of a spectrum: `size / 2 + 1`. */
  readonly bins: number;

  constructor(frames: Frames) {
    this.#frames = frames;
    let size = 1;
    while (size < frames.length) size *= 2;
    this.size = size;
    this.bins = size / 2 + 1;
    const { length } = frames;
    this.#window = Float64Array.from(
      { length },
      (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / length),
    );
    this.#cos = Float64Array.from({ length: size / 2 }, (_, k) =>
      Math.cos((2 * Math.PI * k) / size),
    );
    this.#sin = Float64Array.from(
      { length: size / 2 },
      (_, k) => -Math.sin((2 * Math.PI * k) / size),
    );
    this.#re = new Float64Array(size);
    this.#im = new Float64Array(size);
  }

  /** The spectrum of the frame number `frame`, into `out` of `bins` numbers. */
  power(samples: Float32Array, frame: number, out: Float64Array): void {
    const { length, hop } = this.#frames;
    const start = frame * hop;
    this.#re.fill(0);
    this.#im.fill(0);
    for (let at = 0; at < length; at += 1) {
      this.#re[at] = (samples[start + at] ?? 0) * (this.#window[at] ?? 0);
    }
    this.#transform();
    for (let k = 0; k < this.bins; k += 1)
      out[k] = (this.#re[k] ?? 0) ** 2 + (this.#im[k] ?? 0) ** 2;
  }

  /** Radix-2, in place: bits reversed, then butterflies of 2, 4, ... points. */
  #transform(): void {
    const [re, im, size] = [this.#re, this.#im, this.size];
    for (let at = 1, other = 0; at < size; at += 1) {
      let bit = size >> 1;
      for (; other & bit; bit >>= 1) other ^= bit;
      other ^= bit;
      if (at < other) {
        const [a, b] = [re[at] ?? 0, im[at] ?? 0];
        re[at] = re[other] ?? 0;
        im[at] = im[other] ?? 0;
        re[other] = a;
        im[other] = b;
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k += 1) {
          const [cos, sin] = [this.#cos[k * stride] ?? 0, this.#sin[k * stride] ?? 0];
          const [even, odd] = [start + k, start + k + half];
          const [oddRe, oddIm] = [re[odd] ?? 0, im[odd] ?? 0];
          const turnedRe = oddRe * cos - oddIm * sin;
          const turnedIm = oddRe * sin + oddIm * cos;
          re[odd] = (re[even] ?? 0) - turnedRe;
          im[odd] = (im[even] ?? 0) - turnedIm;
          re[even] = (re[even] ?? 0) + turnedRe;
          im[even] = (im[even] ?? 0) + turnedIm;
        }
      }
    }
  }
}

/** What energies below it count as, so that silence has a logarithm. */
const FLOOR = 1e-10;

/**
 * Logarithms of the energy in `bands` triangles, equally wide and half overlapping on the mel scale
 * `2595 log10(1 + f / 700)` from 0 to half the rate.
 */
export class LogMel {
  readonly #spectrum: Spectrum;
  readonly #frames: Frames;
  readonly #power: Float64Array;
  /** Weight of every bin in every band, `[bands, bins]`. */
  readonly #weights: Float64Array;
  readonly bands: number;

  constructor(rate: number, frames: Frames, bands: number) {
    this.#spectrum = new Spectrum(frames);
    this.#frames = frames;
    this.bands = bands;
    const { bins, size } = this.#spectrum;
    this.#power = new Float64Array(bins);
    this.#weights = new Float64Array(bands * bins);
    const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
    const width = mel(rate / 2) / (bands + 1);
    for (let band = 0; band < bands; band += 1) {
      for (let bin = 0; bin < bins; bin += 1) {
        const distance = Math.abs(mel((bin * rate) / size) / width - (band + 1));
        this.#weights[band * bins + bin] = Math.max(0, 1 - distance);
      }
    }
  }

  /** The first `most` frames of a sound, `[frames, bands]`. */
  of(samples: Float32Array, most = Infinity): Float32Array {
    const frames = Math.min(most, frameCount(samples.length, this.#frames));
    const out = new Float32Array(frames * this.bands);
    const { bins } = this.#spectrum;
    for (let frame = 0; frame < frames; frame += 1) {
      this.#spectrum.power(samples, frame, this.#power);
      for (let band = 0; band < this.bands; band += 1) {
        let energy = 0;
        for (let bin = 0; bin < bins; bin += 1) {
          energy += (this.#weights[band * bins + bin] ?? 0) * (this.#power[bin] ?? 0);
        }
        out[frame * this.bands + band] = Math.log(Math.max(energy, FLOOR));
      }
    }
    return out;
  }
}
