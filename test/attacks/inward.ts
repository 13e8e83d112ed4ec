/** Links that lead inward, in every spelling: for the download route and for providers' results alike. */

/** A picture, whole: whoever takes a data URL for a file gets one. */
const DATA = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

/** @param port where something listens that must never be reached. */
export const inwardLinks = (port: number): string[] => [
  ...['127.0.0.1', '2130706433', '0x7f000001', '0x7f.0.0.1', '0x7F.0x0.0x0.0x1', '0177.0.0.1', '017700000001', '0177.1', '0x7f.1', '127.1', '127.0.1', '127.000.000.001', '0', '0.0.0.0', '127.0.0.1.', '127.255.255.254', '%31%32%37.0.0.1', '１２７.0.0.1', '①②⑦.⓪.⓪.①', '127。0。0。1', '127．0．0．1', '０x7f.1'].flatMap((host) => [`https://${host}:${port}/a.png`, `http://${host}:${port}/a.png`]),
  ...['10.0.0.1', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.0.1', '169.254.169.254', '2852039166', '0xa9fea9fe', '0251.0376.0251.0376', '169.254.170.2', '100.64.0.1', '100.100.100.200', '192.0.0.192', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '224.0.0.1', '240.0.0.1', '255.255.255.255', '168.63.129.16'].map((host) => `https://${host}/latest/meta-data/`),
  ...['::1', '::', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::ffff:7f00:1', '::FFFF:0:127.0.0.1', '::127.0.0.1', '64:ff9b::127.0.0.1', '64:ff9b::a9fe:a9fe', '64:ff9b:1::7f00:1', '2002:7f00:1::', '2002:a9fe:a9fe::1', '2001:0:7f00:1::', '2001:db8::1', 'fe80::1', 'fe80::1%25lo', 'fe80::1%lo', 'fec0::1', 'fc00::1', 'fd00:ec2::254', 'ff02::1', '::ffff:169.254.169.254', '4000::1'].map((host) => `https://[${host}]:${port}/a.png`),
  ...['localhost', 'LOCALHOST', 'ⓛocalhost', 'loc\u00adalhost', 'ＬＯＣＡＬＨＯＳＴ'].flatMap((host) => [`https://${host}:${port}/a.png`, `http://${host}:${port}/a.png`]),
  ...['user:password@', 'example.com@', 'example.com:443@', 'example.com%2f@', ':@', '%00@'].map((credentials) => `https://${credentials}127.0.0.1:${port}/a.png`),
  ...['#@example.com/', '?@example.com/', '\\@example.com/', '\\\\example.com', '/@example.com', '%23.example.com/'].map((rest) => `https://127.0.0.1:${port}${rest}`),
  ...['22', '25', '5432', '6379', '0', '65536'].map((other) => `https://127.0.0.1:${other}/`),
  'https:127.0.0.1/', 'https:/127.0.0.1/', 'https:\\\\127.0.0.1\\', 'https:////127.0.0.1/', ' https://127.0.0.1/', 'ht\ntps://127.0.0.1/', 'https://127.0.\t0.1/', 'https://user@10.0.0.1:443/',
  'file:///etc/passwd', 'file://127.0.0.1/etc/passwd', 'FILE:/etc/passwd', 'ftp://127.0.0.1/a.png', `gopher://127.0.0.1:${port}/_GET%20/`, `dict://127.0.0.1:${port}/info`, 'ldap://127.0.0.1/', `ws://127.0.0.1:${port}/`, `wss://127.0.0.1:${port}/`, 'jar:file:///etc/passwd!/', 'netdoc:///etc/passwd', 'blob:https://127.0.0.1/1', 'about:blank', 'javascript:alert(1)', 'vbscript:x', DATA, 'view-source:https://127.0.0.1/',
  '//127.0.0.1/a.png', '/etc/passwd', '../../etc/passwd', '127.0.0.1', `localhost:${port}/a.png`, 'https://', 'https:///', 'https://[::1', 'https://256.256.256.256/', 'nonsense', 'http://example.com/a.png', 'https://user:password@example.com/a.png',
]

/** Where a redirect may not lead. */
export const inwardRedirects = (port: number): string[] => [
  `http://127.0.0.1:${port}/a.png`, `https://127.0.0.1:${port}/a.png`, `//127.0.0.1:${port}/a.png`, `http://localhost:${port}/a.png`, `https://localhost:${port}/a.png`, `http://2130706433:${port}/`, `https://[::1]:${port}/`, `https://[::ffff:127.0.0.1]:${port}/`, 'http://169.254.169.254/latest/meta-data/', 'https://169.254.169.254/latest/meta-data/', `http://user:password@127.0.0.1:${port}/`,
  'file:///etc/passwd', 'gopher://127.0.0.1/', DATA, 'javascript:alert(1)', 'http://[', 'https://10.0.0.1/', 'http://example.com/a.png',
]
