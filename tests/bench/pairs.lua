-- SPDX-License-Identifier: MIT
-- For wrk: POST /invocations with PAIRS user,item lines of known users and items.
local n = tonumber(os.getenv("PAIRS") or "1000")
local users, items = tonumber(os.getenv("USERS") or "943"), tonumber(os.getenv("ITEMS") or "1682")
local lines = {}
for i = 1, n do lines[i] = (i * 7919 % users + 1) .. "," .. (i * 104729 % items + 1) end
wrk.method = "POST"
wrk.headers["content-type"] = "text/csv"
wrk.body = table.concat(lines, "\n") .. "\n"
