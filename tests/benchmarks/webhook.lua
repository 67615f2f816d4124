-- Stripe's events as wrk sends them, each of them once.
-- Argument: a file with a signature and a body in each line, a tab between them.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  requests = {}
  place = 0
  local line = 0
  for text in io.lines(arguments[1]) do
    if line % 2 == number then  -- wrk runs with two threads
      local signature, body = text:match("^(.-)\t(.*)$")
      local headers = { ["Content-Type"] = "application/json", ["Stripe-Signature"] = signature }
      requests[#requests + 1] = wrk.format("POST", nil, headers, body)
    end
    line = line + 1
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end
