/** Draws a picture from a prompt and a seed: soft colours, a few discs, and the prompt in letters. */
import { createHash } from 'node:crypto'
import sharp, { type Sharp } from 'sharp'
import type { Size } from '../generation/provider.ts'
import { GLYPH_HEIGHT, GLYPH_WIDTH, isGlyphPixel } from './bitmap-font.ts'

/** Colours are computed on a small grid and enlarged softly: cheap, and smooth like a photograph's background. */
const GRID = 48
const DISCS = 5
const MARGIN = 0.06
const MAX_LINES = 6

/** @returns raw RGB pixels of the size, the same for the same prompt and seed. `time` (0 to 1) lets the discs move. */
export async function paint(prompt: string, options: { size: Size; seed: number; time?: number }): Promise<Buffer> {
  const { width, height } = options.size
  const grid = paintGrid(prompt, options.seed, options.time ?? 0)
  const picture = sharp(grid, { raw: { width: GRID, height: GRID, channels: 3 } }).resize({ width, height, fit: 'fill', kernel: 'cubic' })
  return await write(prompt, picture, options.size)
}

/** @returns the picture's raw RGB pixels with the text on it. `size` is what the picture's steps so far make of it. */
export async function write(text: string, picture: Sharp, size: Size): Promise<Buffer> {
  const { pixels, left, top, ...box } = paintText(text, size)
  return await picture.composite([{ input: pixels, raw: { ...box, channels: 4 }, left, top }]).removeAlpha().raw().toBuffer()
}

function paintGrid(prompt: string, seed: number, time: number): Buffer {
  const bytes = createHash('sha256').update(`${seed}\n${prompt}`).digest()
  const unit = (index: number) => bytes[index % bytes.length]! / 255
  const corners = [0, 1, 2, 3].map((corner) => [unit(corner * 3), unit(corner * 3 + 1), unit(corner * 3 + 2)])
  const discs = Array.from({ length: DISCS }, (_, index) => ({
    x: unit(12 + index * 4) + 0.15 * Math.sin(2 * Math.PI * (time + unit(index))),
    y: unit(13 + index * 4) + 0.15 * Math.cos(2 * Math.PI * (time + unit(index))),
    radius: 0.08 + 0.2 * unit(14 + index * 4),
    colour: [unit(15 + index * 4), unit(16 + index * 4), unit(17 + index * 4)],
  }))
  const pixels = Buffer.alloc(GRID * GRID * 3)
  for (let y = 0; y < GRID; y++) {
    for (let x = 0; x < GRID; x++) {
      const [u, v] = [x / (GRID - 1), y / (GRID - 1)]
      for (let channel = 0; channel < 3; channel++) {
        let value = (1 - v) * ((1 - u) * corners[0]![channel]! + u * corners[1]![channel]!) + v * ((1 - u) * corners[2]![channel]! + u * corners[3]![channel]!)
        for (const disc of discs) {
          const edge = (disc.radius - Math.hypot(u - disc.x, v - disc.y)) / 0.05
          const share = Math.min(1, Math.max(0, edge)) * 0.8
          value = value * (1 - share) + disc.colour[channel]! * share
        }
        pixels[(y * GRID + x) * 3 + channel] = Math.round(40 + value * 190)
      }
    }
  }
  return pixels
}

/** White letters with a dark shadow, wrapped to the width, at the bottom of the picture. */
function paintText(prompt: string, { width, height }: Size) {
  const scale = Math.ceil(Math.min(width, height) / 220)
  const advance = (GLYPH_WIDTH + 1) * scale
  const lineHeight = (GLYPH_HEIGHT + 3) * scale
  const perLine = Math.max(4, Math.floor((width * (1 - 2 * MARGIN)) / advance))
  const lines = wrap(prompt, perLine).slice(0, MAX_LINES)
  const box = { width: Math.min(width, perLine * advance + scale), height: Math.min(height, lines.length * lineHeight + scale) }
  const pixels = Buffer.alloc(box.width * box.height * 4)
  const set = (x: number, y: number, shade: number) => {
    if (x < box.width && y < box.height) pixels.set([shade, shade, shade, 255], (y * box.width + x) * 4)
  }
  const draw = (offset: number, shade: number) => {
    for (const [row, line] of lines.entries()) {
      for (const [column, character] of Array.from(line).entries()) {
        for (let x = 0; x < GLYPH_WIDTH * scale; x++) {
          for (let y = 0; y < GLYPH_HEIGHT * scale; y++) {
            if (isGlyphPixel(character, Math.floor(x / scale), Math.floor(y / scale))) set(column * advance + x + offset, row * lineHeight + y + offset, shade)
          }
        }
      }
    }
  }
  draw(scale, 20)
  draw(0, 250)
  const margin = Math.floor(width * MARGIN)
  return { pixels, ...box, left: Math.min(margin, width - box.width), top: Math.max(0, height - box.height - margin) }
}

function wrap(text: string, perLine: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + word.length + 1 > perLine) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
    while (line.length > perLine) {
      lines.push(line.slice(0, perLine))
      line = line.slice(perLine)
    }
  }
  return line === '' ? lines : [...lines, line]
}
