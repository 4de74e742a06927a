-- SPDX-License-Identifier: MIT
local function rounded(answers)
  local rows = {}
  for i = 1, #answers do rows[i] = { i } end
  return run {
    transform = "transforms/round.lua", rows = rows, returns = "num", answer = function() return answers end,
  }
end

test("four digits", function()
  equal(rounded { 0.123449, 0.12345, 1, null }, { 0.1234, 0.1235, 1, null })
end)

test("halves go away from zero on both sides", function()
  equal(rounded { 1.00005, -1.00005, 0 }, { 1.0001, -1.0001, 0 })
end)

test("a score may come as text", function()
  equal(rounded { "0.98765" }, { 0.9877 })
end)
