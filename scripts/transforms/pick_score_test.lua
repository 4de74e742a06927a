-- SPDX-License-Identifier: MIT
local function pick(answers)
  local rows = {}
  for i = 1, #answers do rows[i] = { i } end
  return run {
    transform = "transforms/pick_score.lua", rows = rows, returns = "num", answer = function() return answers end,
  }
end

test("the first prediction's score", function()
  equal(pick { '{"predictions": [{"score": 0.98, "predicted_label": 1}]}', '{"predictions": [{"score": 1}]}' }, { 0.98, 1 })
end)

test("a score at the top", function()
  equal(pick { '{"score": 0.25}', '{"probability": 0.75}' }, { 0.25, 0.75 })
end)

test("an answer without one fails its row alone", function()
  local out = pick { '{"predictions": []}', "oops", '{"score": 0.5}' }
  equal(out[1].error, 'there is no score in the answer: {"predictions": []}')
  equal(out[2].error, "the answer is not a JSON object: oops")
  equal(out[3], 0.5)
end)
