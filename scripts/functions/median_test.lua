-- SPDX-License-Identifier: MIT
local function median(rows)
  return run { fn = "functions/median.lua", params = "x:num", returns = "num", rows = rows }
end

test("the one in the middle", function() equal(median { 5, 1, 3 }, { 3 }) end)
test("between the two in the middle", function() equal(median { 4, 1, 3, 2 }, { 2.5 }) end)
test("nulls do not count", function() equal(median { null, 7, null }, { 7 }) end)
test("nothing has no median", function() equal(median {}, { null }) end)
