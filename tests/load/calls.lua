-- wrk: sends the prepared requests of a file in turn, and says what came of it in one line of JSON.

local requests, count, at = {}, 0, 0

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    for request in file:read("*a"):gmatch("[^%z]+") do
        count = count + 1
        requests[count] = request
    end
    file:close()
end

function request()
    at = at % count + 1
    return requests[at]
end

function done(summary)
    local e = summary.errors
    io.write(string.format('\n{"requests": %d, "micros": %d, "bytes": %d, "failed": %d}\n', summary.requests,
        summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout))
end
