-- Sign-ups as wrk sends them: each from another person at another address of the network.
-- Arguments: a word that no other run has, then the names and values of further headers.
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(arguments)
  run = arguments[1]
  count = 0
  headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }
  fields = arguments[2] or ""
  for place = 3, #arguments, 2 do
    headers[arguments[place]] = arguments[place + 1]
  end
end

function request()
  count = count + 1
  headers["X-Forwarded-For"] =
    string.format("%d.%d.%d.%d", 10 + number, count / 65536 % 256, count / 256 % 256, count % 256)
  local body = string.format(
    "email=%s.%d.%d%%40example.com&name=Maria+Lopez&consent=yes%s", run, number, count, fields)
  return wrk.format("POST", nil, headers, body)
end
