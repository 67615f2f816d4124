-- What visitors ask for, as wrk sends it: of ten requests one is a sign-up, and each of those from
-- another person at another address of the network.
-- Arguments: a word that no other run has, the page, its ETag, and the addresses of its files.
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(arguments)
  run, page, etag = arguments[1], arguments[2], arguments[3]
  files = {}
  for place = 4, #arguments do
    files[#files + 1] = arguments[place]
  end
  count = 0
end

local function sign_up()
  local from = string.format(
    "%d.%d.%d.%d", 10 + number, count / 65536 % 256, count / 256 % 256, count % 256)
  local headers = {
    ["Content-Type"] = "application/x-www-form-urlencoded", ["X-Forwarded-For"] = from }
  local body = string.format(
    "email=%s.%d.%d%%40example.com&name=Maria+Lopez&consent=yes", run, number, count)
  return wrk.format("POST", page, headers, body)
end

function request()
  count = count + 1
  local kind = count % 10
  local brotli = { ["Accept-Encoding"] = "br" }
  if kind == 0 then
    return sign_up()
  elseif kind <= 3 then
    return wrk.format("GET", files[count % #files + 1], brotli)
  elseif kind <= 5 then
    return wrk.format("GET", page, { ["If-None-Match"] = etag })
  elseif kind == 6 then
    return wrk.format("GET", "/", brotli)
  elseif kind == 7 then
    return wrk.format("GET", "/compare", brotli)
  end
  return wrk.format("GET", page .. "?utm_source=news&utm_campaign=" .. count, brotli)
end
