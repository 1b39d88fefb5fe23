-- wrk's requests for proxy_cost.py: wrk ... -- KIND TARGET BODY_BYTES
--
-- browser: what Chrome sends, as an AWS load balancer passes it on; X-Amzn-Trace-Id is another in every request, and
-- targets go round where TARGET ends with a slash. same: these headers with nothing that changes. close: as browser, with
-- Connection: close. post: as browser, with a body.

local ITEMS = 16
local before, after, tail, fixed, target, count, goes_round

function init(arguments)
  local kind
  kind, target = arguments[1], arguments[2]
  local body = string.rep("x", tonumber(arguments[3]))
  local headers = {
    "Host: shop.example.com",
    "X-Forwarded-For: 203.0.113.77",
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
  after = " HTTP/1.1\r\n" .. table.concat(headers, "\r\n") .. "\r\nX-Amzn-Trace-Id: Root=1-673b2f5c-"
  tail = "\r\n\r\n" .. (kind == "post" and body or "")
  count = 0
  if kind == "same" then fixed = before .. after .. string.format("%024x", 0) .. tail end
  goes_round = string.sub(target, -1) == "/" and target ~= "/"
end

function request()
  if fixed then return fixed end
  count = count + 1
  return before .. (goes_round and count % ITEMS or "") .. after .. string.format("%024x", count) .. tail
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'figures {"count": %d, "wall_s": %.6f, "p50_us": %.1f, "p99_us": %.1f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
