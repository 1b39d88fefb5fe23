-- wrk's requests for proxy_cost.py: wrk ... -- KIND TARGET BODY_BYTES RUN
--
-- browser: what Chrome sends, as an AWS load balancer passes it on; X-Amzn-Trace-Id is another in every request, and
-- targets go round where TARGET ends with a slash. same: these headers with nothing that changes. close: as browser, with
-- Connection: close. post: as browser, with a body.
--
-- A load balancer has many clients on few connections: 64 are there at a time and ask in turns, each 8 times, on
-- whatever connection is free; then another comes, with an address that was not there before. RUN, a number below 2^17,
-- is where the addresses begin, so that what was kept of the run before is of no use.

local ITEMS = 16
local CLIENTS_AT_A_TIME, REQUESTS_OF_A_CLIENT = 64, 8
local ADDRESSES = 131072 -- of 198.18.0.0/15, which RFC 2544 has for benchmarks
local before, middle, after, tail, fixed, target, count, run, goes_round

function init(arguments)
  local kind
  kind, target = arguments[1], arguments[2]
  local body = string.rep("x", tonumber(arguments[3]))
  run = tonumber(arguments[4])
  local headers = {
    "Host: shop.example.com",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Port: 443",
    'sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
    "sec-ch-ua-mobile: ?0",
    'sec-ch-ua-platform: "Windows"',
    "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Accept: application/json, text/plain, */*",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Dest: empty",
    "Referer: https://shop.example.com/items",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
    "Cookie: session=s%3A8fK2mQ0pV7xYtRzLw3nB5cJ1dH6gU9aE.kO4iS2vX8; _ga=GA1.1.1234567890.1761000000; theme=dark",
  }
  if kind == "close" then table.insert(headers, "Connection: close") end
  if kind == "post" then
    table.insert(headers, "Content-Type: application/json")
    table.insert(headers, "Content-Length: " .. #body)
  end
  before = (kind == "post" and "POST " or "GET ") .. target
  middle = " HTTP/1.1\r\nX-Forwarded-For: "
  after = "\r\n" .. table.concat(headers, "\r\n") .. string.format("\r\nX-Amzn-Trace-Id: Root=1-%08x-", run)
  tail = "\r\n\r\n" .. (kind == "post" and body or "")
  count = 0
  if kind == "same" then fixed = before .. middle .. "198.18.0.1" .. after .. string.format("%024x", 0) .. tail end
  goes_round = string.sub(target, -1) == "/" and target ~= "/"
end

local function address()
  local asked = math.floor(count / (CLIENTS_AT_A_TIME * REQUESTS_OF_A_CLIENT))
  local client = (run + asked * CLIENTS_AT_A_TIME + count % CLIENTS_AT_A_TIME) % ADDRESSES
  return string.format("198.%d.%d.%d", 18 + math.floor(client / 65536), math.floor(client / 256) % 256, client % 256)
end

function request()
  if fixed then return fixed end
  count = count + 1
  local item = goes_round and count % ITEMS or ""
  return before .. item .. middle .. address() .. after .. string.format("%024x", count) .. tail
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'figures {"count": %d, "wall_s": %.6f, "p50_us": %.1f, "p99_us": %.1f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
