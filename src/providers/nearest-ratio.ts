import type { Size } from '../generation/provider.ts'

/** The ratio, such as `16:9`, that is nearest to a size, for vendors that take no pixels. */
export function nearestRatio({ width, height }: Size, ratios: readonly [string, ...string[]]): string {
  const distance = (ratio: string): number => {
    const [across, down] = ratio.split(':').map(Number) as [number, number]
    return Math.abs(Math.log((width * down) / (height * across)))
  }
  return ratios.reduce((nearest, ratio) => (distance(ratio) < distance(nearest) ? ratio : nearest))
}
