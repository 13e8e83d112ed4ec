/** Cuts SQL where its own words end: not within quotes, brackets or a function's body. */

/** Where a part comes from: the file, and the statement that makes it. */
export interface Source {
  file: string
  sql: string
}

/** Comments, quoted text and names, bodies between dollar signs; else one character. */
const TOKEN = /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$\w*\$)[\s\S]*?\1|[\s\S]/g

/** The statements of a file, without their comments and semicolons. What stands between dollar signs stays as it is. */
export const splitStatements = (sql: string): string[] => cutAt(sql, ';')

/** The parts of a list, such as the columns of a table. */
export const splitList = (text: string): string[] => cutAt(text, ',')

function cutAt(text: string, separator: string): string[] {
  const pieces: string[] = []
  let piece = ''
  let depth = 0
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '(') depth++
    if (token === ')') depth--
    if (token === separator && depth === 0) {
      pieces.push(piece)
      piece = ''
    } else piece += token.startsWith('--') || token.startsWith('/*') ? ' ' : token
  }
  return [...pieces, piece].map((item) => item.trim()).filter(Boolean)
}

/** The text in the first pair of brackets, `''` where there is none. */
export function inBrackets(text: string): string {
  const start = text.indexOf('(')
  let depth = 0
  let at = start
  for (const [token] of start < 0 ? [] : text.slice(start).matchAll(TOKEN)) {
    if (token === '(') depth++
    if (token === ')' && --depth === 0) return text.slice(start + 1, at)
    at += token.length
  }
  return ''
}

/** The text with `()` for whatever stands in brackets. */
export function withoutBrackets(text: string): string {
  let result = ''
  let depth = 0
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === ')') depth--
    if (depth === 0) result += token
    if (token === '(') depth++
  }
  return result
}
