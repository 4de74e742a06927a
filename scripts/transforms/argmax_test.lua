-- SPDX-License-Identifier: MIT
local function class(answers)
  local rows = {}
  for i = 1, #answers do rows[i] = { 900 + i } end
  return run {
    transform = "transforms/argmax.lua", params = "id:num", returns = "str",
    rows = rows, answer = function() return answers end,
  }
end

test("scores in columns", function()
  equal(class { { 0.1, 0.7, 0.2 }, { 0.8, 0.1, 0.1 }, { 0.2, 0.2, 0.6 } }, { "versicolor", "setosa", "virginica" })
end)

test("scores as a JSON list", function()
  equal(class { "[0.1, 0.2, 0.7]" }, { "virginica" })
end)

test("the first of equals", function()
  equal(class { { 0.5, 0.5, 0 } }, { "setosa" })
end)

test("a class without a name fails its row alone", function()
  equal(class { "[0, 0, 0, 1]", "[1, 0, 0]" }, { { error = "class 4 has no name" }, "setosa" })
end)
