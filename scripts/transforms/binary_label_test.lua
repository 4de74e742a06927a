-- SPDX-License-Identifier: MIT
local function label(scores)
  local rows = {}
  for i = 1, #scores do rows[i] = { "17.99,10.38" } end
  return run {
    transform = "transforms/binary_label.lua", params = "features:str", returns = "str",
    rows = rows, answer = function() return scores end,
  }
end

test("a word on each side of the threshold", function()
  equal(label { 0.93, 0.07 }, { "Malignant", "Benign" })
end)

test("the threshold itself is below", function()
  equal(label { 0.5 }, { "Benign" })
end)

test("no score, no word", function()
  equal(label { null, 0.9 }, { null, "Malignant" })
end)

test("a score that is not a number stops the call and says where", function()
  raises(function() label { "n/a" } end, "binary_label.lua:9:")
end)
