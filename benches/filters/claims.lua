-- The filter's job as far as Lua can do it, for comparison: claim, route, settle, replay.
--
-- It does less, and what it leaves out is what the filter is for. Every worker has a Lua state of
-- its own, so two workers claim the same payment without seeing each other. A claim is overwritten
-- when its slot is needed, whatever its state. JSON is read by pattern: a member that stands twice
-- or deeper, or has escapes, is read wrongly. There is no health, no failover and no follow-up.

local bit = require("bit")
local band, bxor, bnot, ror, rshift = bit.band, bit.bxor, bit.bnot, bit.ror, bit.rshift
local tobit, tohex = bit.tobit, bit.tohex

local SLOTS = 65536
local claims = {}
local counts = {}

local K = {}
do
  -- The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
  local found, number = 0, 2
  while found < 64 do
    local prime = true
    for divisor = 2, math.floor(math.sqrt(number)) do
      if number % divisor == 0 then prime = false break end
    end
    if prime then
      found = found + 1
      K[found] = tobit(math.floor((number ^ (1 / 3) % 1) * 4294967296))
    end
    number = number + 1
  end
end

local w = {}

local function sha256(text)
  local length = #text
  local zeros = (55 - length) % 64
  local tail = string.char(0, 0, 0, 0, band(rshift(length, 21), 255), band(rshift(length, 13), 255),
    band(rshift(length, 5), 255), band(length * 8, 255))
  text = text .. "\128" .. string.rep("\0", zeros) .. tail
  local h0, h1, h2, h3 = 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a
  local h4, h5, h6, h7 = 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
  for block = 1, #text, 64 do
    for i = 1, 16 do
      local a, b, c, d = text:byte(block + i * 4 - 4, block + i * 4 - 1)
      w[i] = tobit(a * 16777216 + b * 65536 + c * 256 + d)
    end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
      local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
      w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
    end
    local a, b, c, d, e, f, g, h = h0, h1, h2, h3, h4, h5, h6, h7
    for i = 1, 64 do
      local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
      local ch = bxor(band(e, f), band(bnot(e), g))
      local t1 = h + s1 + ch + K[i] + w[i]
      local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
      local maj = bxor(band(a, b), band(a, c), band(b, c))
      h, g, f, e = g, f, e, tobit(d + t1)
      d, c, b, a = c, b, a, tobit(t1 + s0 + maj)
    end
    h0, h1, h2, h3 = tobit(h0 + a), tobit(h1 + b), tobit(h2 + c), tobit(h3 + d)
    h4, h5, h6, h7 = tobit(h4 + e), tobit(h5 + f), tobit(h6 + g), tobit(h7 + h)
  end
  return tohex(h0) .. tohex(h1) .. tohex(h2) .. tohex(h3)
    .. tohex(h4) .. tohex(h5) .. tohex(h6) .. tohex(h7)
end

-- A hash that is wrong would still be fast.
assert(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")

local function count(what)
  counts[what] = (counts[what] or 0) + 1
end

local function say(handle, status, code, outcome)
  count(outcome)
  handle:respond({[":status"] = status, ["content-type"] = "application/problem+json"},
    '{"responseCode":"' .. code .. '","outcome":"' .. outcome .. '"}')
end

local function repeated(handle, claim, print)
  if claim.state ~= "settled" then
    return say(handle, "429", "4295400", claim.state)
  end
  if claim.print ~= print then
    return say(handle, "404", "4045418", "mismatch")
  end
  count("replay")
  handle:respond({
    [":status"] = claim.status,
    ["content-type"] = claim.content_type,
    ["idempotent-replayed"] = "true",
    ["x-dana-gateway"] = "primary",
  }, claim.body)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local partner = headers:get("x-partner-id")
  local buffer = handle:body()
  if not partner or not buffer then
    return say(handle, "400", "4005402", "refused")
  end
  local body = buffer:getBytes(0, buffer:length())
  local merchant = body:match('"merchantId"%s*:%s*"([^"\\]+)"')
  local reference = body:match('"partnerReferenceNo"%s*:%s*"([^"\\]+)"')
  local amount = body:match('"amount"%s*:%s*(%b{})')
  local value = amount and amount:match('"value"%s*:%s*"([^"\\]+)"')
  local currency = amount and amount:match('"currency"%s*:%s*"([^"\\]+)"')
  if not (merchant and reference and value and currency) then
    return say(handle, "400", "4005402", "refused")
  end
  local key = sha256(#partner .. ":" .. partner .. "5:order" .. #merchant .. ":" .. merchant
    .. #reference .. ":" .. reference)
  local print = sha256(key .. #value .. ":" .. value .. currency)
  local slot = tonumber(key:sub(1, 8), 16) % SLOTS
  local claim = claims[slot]
  if claim and claim.key == key then
    return repeated(handle, claim, print)
  end
  -- What was taken from the stream before it waited for its body may not be used any more.
  headers = handle:headers()
  claims[slot] = {
    key = key, print = print, state = "in_flight", at = handle:timestamp(), reference = reference,
  }
  headers:replace("x-dana-cluster", "dana_primary_first")
  headers:replace("x-envoy-upstream-rq-timeout-ms", "10000")
  headers:replace("idempotency-key", '"' .. key .. '"')
  if headers:get("accept-encoding") ~= "identity" then
    headers:replace("accept-encoding", "identity")
  end
  handle:streamInfo():dynamicMetadata():set("dana", "slot", slot)
end

function envoy_on_response(handle)
  local noted = handle:streamInfo():dynamicMetadata():get("dana")
  local claim = noted and claims[noted.slot]
  if not claim or claim.state ~= "in_flight" then
    return
  end
  local buffer = handle:body()
  local headers = handle:headers()
  local status = headers:get(":status")
  local body = buffer and buffer:getBytes(0, buffer:length()) or ""
  local code = body:match('"responseCode"%s*:%s*"(%d%d%d%d%d%d%d)"')
  local reference = body:match('"partnerReferenceNo"%s*:%s*"([^"\\]+)"')
  if status == "200" and code == "2005400" and reference == claim.reference then
    claim.state = "settled"
    claim.status, claim.content_type, claim.body = status, headers:get("content-type"), body
  else
    claim.state = "in_doubt"
  end
  headers:replace("x-dana-gateway", "primary")
  count(claim.state)
end
